"""Functions that send to a registry, and that list what is pulled from one."""

from functools import partial

from ci import args
from ci.api import api_function
from ci.common.arch import parse_arches
from ci.common.deferred import deferred
from ci.functions.base import Functions

with deferred():
    from ci.execute import build, load, publish, signing
    from ci.plan import images
    from ci.publish import publication
    from ci.report import pulled, tables


class RegistryFunctions(Functions):
    """Functions that send to a registry, and that list what is pulled from one."""

    @api_function
    async def publish(
        self,
        variant: args.VariantName,
        address: args.Address,
        image_names: args.ImageNames = None,
        arches: args.Architectures = None,
        outputs: args.AssetOutputs = None,
        disk_images: args.DiskImages = None,
        channel: args.Channel = None,
        username: args.Username = None,
        password: args.Password = None,
        plain_http: args.PlainHttp = False,
        sign_key: args.SignKey = None,
        sign_password: args.SignPassword = None,
        force: args.Force = False,
        network_seconds: args.NetworkSeconds = 60,
        format_: args.Format = "text",
    ) -> str:
        """Publish a variant's images with SBOM and provenance, and say by which references nodes get them.

        With --disk-images, and without --images, only those: an artifact of files, which `oras pull` gets.

        Everything is pushed by digest first, tags are set at the end: <variant>-<talos>-<cozystack>, and the channel's.
        What the registry has already is not sent again. Stand-ins are refused but for a registry on this machine. A tag
        that names other content than the same plan's, or a channel's that names another variant, needs --force.
        """
        form = tables.parse_format(format_)
        disks = (images.parse_disks(disk_images),) if disk_images else ()
        kinds = (*(images.parse_kinds(image_names or images.KINDS) if image_names or not disks else ()), *disks)
        wanted = parse_arches(arches or [self.arch])
        signer = signing.Signer.of(sign_key, sign_password)
        to = await publish.parse_destination(
            *(address, channel, username, password), plain_http=plain_http, force=force, seconds=network_seconds
        )
        inputs = await self._inputs()
        orders = await build.plan_images(inputs, kinds, variant, outputs, wanted)
        upstream = (await inputs.checkout()).upstream
        published = await publish.publish(orders, upstream, to, partial(build.build_passing, inputs), signer)
        named = await inputs.plan(variant, ["cmdline"], arch=wanted[0])
        return publication.publication_as(published, named, form)

    @api_function
    async def images(self, variant: args.VariantName, format_: args.ImagesFormat = "text") -> str:
        """List every image that a build of a variant pulls, by tag and digest, for mirrors.

        A reference a line, ready for `crane copy` or `skopeo copy`: those of the plan, those in which files are read
        and tests run, Dagger's engine and the base image of its Python SDK, and upstream's netboot server.
        """
        form = pulled.check_format(format_)
        inputs = await self._inputs()
        plan = await inputs.plan(variant)
        found = pulled.pulled(plan, await load.tool_images(await inputs.checkout(), inputs.resolver(inputs.arch)))
        return pulled.as_json(found) if form == "json" else pulled.as_text(found)
