"""CozyStack's Talos boot assets for arm64 and amd64, with the Spin and Tailscale system extensions."""

from collections.abc import Iterable

import dagger
from dagger import check, dag, object_type

from ci import args, examine, images, pulled, tables, tailscale, vendors
from ci.api import fresh
from ci.arch import Arch, parse_arch, parse_arches
from ci.boot.model import DEADLINE, OUTPUTS, WAYS, Way, parse_way, parse_ways
from ci.bootable import Options, parse_options
from ci.boots import Boot, boot_assets, boot_lines, boot_network, boot_plan, came_up
from ci.configure import check_services, folder
from ci.errors import BuildError
from ci.expectation import expectation_anywhere
from ci.imaging import check_possible, make_image
from ci.load import Checkout, load_checkout, load_plan, load_variants, tool_images
from ci.local import LocalImage, read_local_images
from ci.machine_config import make_machine_config
from ci.outputs import DEFAULT_OUTPUTS, REPRODUCED_OUTPUTS, parse_layout, parse_outputs
from ci.pipeline import Assets, Pipeline
from ci.plan import Plan
from ci.progress import say
from ci.publication import publication_as
from ci.publish import parse_destination, publish
from ci.registry import Login, parse_login
from ci.reproduce import reproduce
from ci.schematic import schematic_as
from ci.secureboot import Keys, parse_keys
from ci.selftest import requirement_lines, unit_tests
from ci.signatures import Signers
from ci.signing import Signer
from ci.updating import Update, apply_update, find_update


@object_type
class CozystackTalos:
    """CozyStack's Talos boot assets for arm64 and amd64, with the Spin and Tailscale system extensions."""

    upstream: dagger.Directory | None
    release: str | None
    variant_files: dagger.Directory | None
    arch: str
    source_date_epoch: int | None
    extension_file: list[dagger.File]
    extension_layout: list[dagger.Directory]
    registry: str | None
    registry_username: str | None
    registry_password: dagger.Secret | None
    secureboot_key: dagger.Secret | None
    secureboot_cert: dagger.File | None
    secureboot_pcr_key: dagger.Secret | None
    secureboot_enrolment: dagger.Directory | None

    @classmethod
    async def create(
        cls,
        upstream: args.Upstream,
        release: args.Release = None,
        variants: args.VariantFiles = None,
        arch: args.Architecture = "arm64",
        source_date_epoch: args.SourceDateEpoch = None,
        extension_file: args.ExtensionFile = None,
        extension_layout: args.ExtensionLayout = None,
        registry: args.Registry = None,
        registry_username: args.RegistryUsername = None,
        registry_password: args.RegistryPassword = None,
        secureboot_key: args.SecureBootKey = None,
        secureboot_cert: args.SecureBootCert = None,
        secureboot_pcr_key: args.SecureBootPcrKey = None,
        secureboot_enrolment: args.SecureBootEnrolment = None,
    ) -> "CozystackTalos":
        """CozyStack's Talos boot assets, for an upstream release or checkout and an architecture."""
        # A mistake is told before anything is done.
        parse_login(registry, registry_username, registry_password)
        parse_keys(secureboot_key, secureboot_cert, secureboot_pcr_key, secureboot_enrolment)
        return cls(
            upstream=upstream,
            release=release,
            variant_files=variants,
            arch=parse_arch(arch).value,
            source_date_epoch=source_date_epoch,
            extension_file=extension_file or [],
            extension_layout=extension_layout or [],
            registry=registry,
            registry_username=registry_username,
            registry_password=registry_password,
            secureboot_key=secureboot_key,
            secureboot_cert=secureboot_cert,
            secureboot_pcr_key=secureboot_pcr_key,
            secureboot_enrolment=secureboot_enrolment,
        )

    @fresh
    async def variants(self) -> str:
        """List the variants: role, extensions, and what configuration a node needs."""
        return tables.variants_table(await load_variants(self.variant_files))

    @fresh
    async def plan(
        self,
        variant: args.VariantName,
        outputs: args.Outputs = None,
        layout: args.LayoutName = "boot",
        format_: args.Format = "text",
    ) -> str:
        """Show what would be built and why: versions, digests, extensions with reasons, imager profiles.

        Nothing is built. The references behind tags are looked up in their registries.
        """
        form = tables.parse_format(format_)
        return tables.plan_as(await self._plan(variant, outputs, layout), form)

    @fresh
    async def build(
        self,
        variant: args.VariantName,
        outputs: args.Outputs = None,
        layout: args.LayoutName = "boot",
        verify_signatures: args.VerifySignatures = False,
        cosign_key: args.CosignKey = None,
        cosign_mirrors: args.CosignMirrors = None,
        boot_from: args.BootWays = None,
    ) -> dagger.Directory:
        """Build a variant's boot assets, check them, and return them with checksums and a report.

        Layout: assets/talos/<arch>/boot/{vmlinuz,initramfs.xz}, further outputs each in a folder of its kind,
        checksums.sha256, and validation/build-report.{txt,json}. Assets that fail a check are an error. Where they are
        booted, validation/boot-<from>.{log,txt,json,svg} have the console, the verdict and its picture.
        """
        ways = parse_ways(boot_from or [])
        signers = Signers.of(verify_signatures, cosign_key, cosign_mirrors)
        plan = await self._plan(variant, outputs, layout)
        if signers:
            await signers.verify(plan)
        assets = await self._passing(plan)
        if ways:
            assets = await self._assets(plan, await self._records(plan.variant, ways))
        return assets.laid_out()

    @fresh
    async def schematic(self, variant: args.VariantName, format_: args.Format = "text") -> str:
        """Show the variant as an Image Factory schematic, with its id.

        In the format yaml it is the canonical form, of which the id is the SHA-256; json has id and schematic.
        """
        form = tables.parse_format(format_)
        return schematic_as(await self._plan(variant, ["cmdline"], "boot"), form)

    @fresh
    async def kernel(self, variant: args.VariantName) -> dagger.File:
        """Build the kernel (vmlinuz), which netboot servers serve."""
        return await self._output(variant, "kernel")

    @fresh
    async def initramfs(self, variant: args.VariantName) -> dagger.File:
        """Build the initramfs with all extensions in it, which netboot servers serve."""
        return await self._output(variant, "initramfs")

    @fresh
    async def cmdline(self, variant: args.VariantName) -> dagger.File:
        """Build the kernel's command line, as text, for boot loaders that need it beside kernel and initramfs."""
        return await self._output(variant, "cmdline")

    @fresh
    async def uki(self, variant: args.VariantName) -> dagger.File:
        """Build the unified kernel image: kernel, initramfs and command line as one EFI program."""
        return await self._output(variant, "uki")

    @fresh
    async def iso(self, variant: args.VariantName) -> dagger.File:
        """Build the ISO image, for USB sticks and virtual machines."""
        return await self._output(variant, "iso")

    @fresh
    async def metal(self, variant: args.VariantName, format_: args.DiskFormat = "raw.zst") -> dagger.File:
        """Build the disk image for bare metal."""
        return await self._output(variant, f"metal.{format_}")

    @fresh
    async def nocloud(self, variant: args.VariantName, format_: args.DiskFormat = "raw.zst") -> dagger.File:
        """Build the disk image for clouds and hypervisors that configure machines by NoCloud."""
        return await self._output(variant, f"nocloud.{format_}")

    @fresh
    async def installer_archive(self, variant: args.VariantName) -> dagger.File:
        """Build the installer image as a docker archive, which `crane push` and `skopeo copy` take."""
        return await self._output(variant, "installer")

    @fresh
    async def installer(self, variant: args.VariantName) -> dagger.Container:
        """Build the installer image, which `talosctl upgrade` and the machine configuration name."""
        return await self._image(variant, "installer", None, "boot")

    @fresh
    async def asset_image(
        self, variant: args.VariantName, outputs: args.AssetOutputs = None, layout: args.LayoutName = "boot"
    ) -> dagger.Container:
        """Build an image that holds the boot assets below /assets and nothing else, with checksums and report."""
        return await self._image(variant, "assets", outputs, layout)

    @fresh
    async def matchbox(self, variant: args.VariantName) -> dagger.Container:
        """Build CozyStack's netboot image: Matchbox with kernel, initramfs and profiles for the architecture.

        Below /var/lib/matchbox: assets/{vmlinuz,initramfs.xz}, and the checkout's groups and profiles; their kernel
        arguments are the imager's.
        """
        return await self._image(variant, "matchbox", None, "boot")

    @fresh
    async def publish(
        self,
        variant: args.VariantName,
        address: args.Address,
        image_names: args.ImageNames = None,
        arches: args.Architectures = None,
        outputs: args.AssetOutputs = None,
        channel: args.Channel = None,
        username: args.Username = None,
        password: args.Password = None,
        plain_http: args.PlainHttp = False,
        sign_key: args.SignKey = None,
        sign_password: args.SignPassword = None,
        format_: args.Format = "text",
    ) -> str:
        """Publish a variant's images with SBOM and provenance, and say by which references nodes get them.

        Everything is pushed by digest first, tags are set at the end: <variant>-<talos>-<cozystack>, and the channel's.
        What the registry has already is not sent again. Stand-ins are refused but for a registry on this machine.
        """
        form = tables.parse_format(format_)
        kinds = images.parse_kinds(image_names or images.KINDS)
        wanted = parse_arches(arches or [self.arch])
        signer = Signer.of(sign_key, sign_password)
        to = await parse_destination(address, channel, username, password, plain_http=plain_http)
        (await load_variants(self.variant_files)).get(variant)
        checkout = await load_checkout(self.upstream, self.release)
        orders: dict[images.ImageKind, list[Plan]] = {}
        for kind in kinds:
            check_possible(kind, checkout.upstream)
            chosen = kind.outputs or outputs or images.NETBOOT
            orders[kind] = [await self._plan(variant, chosen, "boot", checkout, arch) for arch in wanted]
        published = await publish(orders, checkout.upstream, to, self._passing, signer)
        named = await self._plan(variant, ["cmdline"], "boot", checkout, wanted[0])
        return publication_as(published, named, form)

    @fresh
    async def machine_config(
        self,
        variant: args.VariantName,
        tailscale_auth_key: args.AuthKey = None,
        routes: args.Routes = None,
        hostname: args.Hostname = None,
        tailscale_args: args.TailscaleArguments = None,
        join_cidr: args.JoinCidr = None,
    ) -> dagger.Directory:
        """Write what a variant's nodes have to be told, as Talos patches ready to apply.

        Layout: node.yaml, a patch for each node; kubernetes.yaml, the cluster's RuntimeClasses, and the same in
        controlplane.yaml as a patch for a cluster that is yet to be made. A service in the image that waits for
        something which the patches do not give is an error. An auth key is in node.yaml, and in the engine's cache.
        """
        chosen = (await load_variants(self.variant_files)).get(variant)
        told = tailscale.settings(
            chosen,
            routes=routes,
            hostname=hostname,
            arguments=tailscale_args,
            join_cidr=join_cidr,
            has_auth_key=tailscale_auth_key is not None,
        )
        plan = await self._plan(variant, None, "boot")
        await check_services(plan, chosen, Pipeline(plan, await self._trees(plan.arch)))
        made = make_machine_config(chosen, plan.talos_version, told)
        for warning in made.warnings:
            say(f"WARNING: {warning}")
        return await folder(made, tailscale_auth_key)

    @fresh
    async def inspect(
        self,
        assets: args.Assets = None,
        image: args.AssetImage = None,
        file: args.AssetFile = None,
        format_: args.Format = "text",
    ) -> str:
        """Show what is inside boot assets: a folder, a container image, or a file of any kind.

        Kernel, initramfs with its extensions, UKI, installer, ISO and disk images are told by content, not by name.
        What can't be read is an error that names the file and the place in it.
        """
        form = tables.parse_format(format_)
        return await examine.inspect(await self._subject(assets, image, file), form)

    @fresh
    async def verify(
        self,
        assets: args.Assets = None,
        image: args.AssetImage = None,
        file: args.AssetFile = None,
        variant: args.PlannedVariant = None,
        format_: args.Format = "text",
    ) -> str:
        """Check boot assets of any origin, and say how each check went; failed ones are an error.

        With a variant, they have to be what is planned for it: versions, extensions, nothing of what it must not have.
        Without, they have to agree with themselves: one architecture, one Talos version, one kernel and initramfs.
        """
        form = tables.parse_format(format_)
        found = await self._subject(assets, image, file)
        expected = expectation_anywhere(await self._plan(variant, None, "boot")) if variant else None
        return await examine.verify(found, expected, form)

    @fresh
    async def diff(
        self,
        before: args.Before = None,
        before_image: args.BeforeImage = None,
        before_file: args.BeforeFile = None,
        after: args.After = None,
        after_image: args.AfterImage = None,
        after_file: args.AfterFile = None,
        format_: args.Format = "text",
        fail_on_change: args.FailOnChange = False,
    ) -> str:
        """Tell what changed between two sets of boot assets, two images or two files: what to know before an upgrade.

        Versions of Talos, kernel and extensions; files that came, went or changed; command lines; sizes.
        """
        form = tables.parse_format(format_)
        flags = [(f"--{name}", f"--{name}-image", f"--{name}-file") for name in ("before", "after")]
        older = await self._subject(before, before_image, before_file, flags[0])
        newer = await self._subject(after, after_image, after_file, flags[1])
        return await examine.diff(older, newer, form, fail_on_change=fail_on_change)

    @fresh
    async def reproduce(
        self, variant: args.VariantName, outputs: args.ReproducedOutputs = None, format_: args.Format = "text"
    ) -> str:
        """Build a variant twice, no imager run from the cache, and compare every output byte by byte.

        Prints each output's checksum. Where two are not equal, the error names the first difference by what it is: an
        archive's entry, a header's field.
        """
        form = tables.parse_format(format_)
        plan = await self._plan(variant, outputs or REPRODUCED_OUTPUTS, "boot")
        return await reproduce(plan, form, await self._trees(plan.arch), self._keys())

    @fresh
    async def boot(
        self,
        variant: args.VariantName,
        from_: args.BootFrom = "kernel",
        assets: args.BootedAssets = None,
        kernel_args: args.KernelArguments = None,
        deadline: args.Deadline = DEADLINE,
        kvm: args.Kvm = False,
    ) -> str:
        """Boot a variant in QEMU, show its console, and say how it went; one that does not come up is an error.

        It comes up when Talos enters its maintenance mode, or runs as configured. The verdict has the time to each
        stage, the extensions that were enabled, and checks with the console's lines as evidence.
        """
        options = parse_options(deadline, kernel_args, kvm=kvm)
        return came_up(await self._boot(variant, parse_way(from_), assets, options)).text

    @fresh
    async def boot_record(
        self,
        variant: args.VariantName,
        from_: args.BootFrom = "kernel",
        assets: args.BootedAssets = None,
        kernel_args: args.KernelArguments = None,
        deadline: args.Deadline = DEADLINE,
        kvm: args.Kvm = False,
    ) -> dagger.Directory:
        """Boot as `boot` does, and return what there is to keep of it, however it went.

        Layout: boot-<from>.log, the console with times; .txt and .json, the verdict; .svg, the stages as a picture.
        """
        options = parse_options(deadline, kernel_args, kvm=kvm)
        return (await self._boot(variant, parse_way(from_), assets, options)).record

    @fresh
    async def netboot(
        self,
        variant: args.VariantName,
        kernel_args: args.KernelArguments = None,
        deadline: args.Deadline = DEADLINE,
        kvm: args.Kvm = False,
    ) -> str:
        """Boot a variant over the network, as a node without a disk does, from the image that `matchbox` builds.

        iPXE is started from a small EFI partition, gets an address by DHCP, and asks Matchbox for all else by HTTP.
        """
        options = parse_options(deadline, kernel_args, kvm=kvm)
        image = await self._image(variant, "matchbox", None, "boot")
        checkout = await load_checkout(self.upstream, self.release)
        plan = await self._plan(variant, images.NETBOOT, "boot", checkout)
        return came_up(await boot_network(plan, image, checkout.upstream, options)).text

    @check
    @fresh
    async def boots(self) -> str:
        """Boot the first variant from its kernel and the last through UEFI: what every change should pass."""
        names = [variant.name for variant in await load_variants(self.variant_files)]
        options = parse_options(DEADLINE, None, kvm=False)
        trials = ((names[0], Way.KERNEL), (names[-1], Way.UKI))
        return "\n".join([came_up(await self._boot(name, way, None, options)).text for name, way in trials])

    @check
    @fresh
    async def test(self, source: args.TestSource, boot: args.Boot = False) -> str:
        """Run the unit tests, build every variant, and check each requirement on what came out.

        Prints a line for each requirement and variant; one that is not met, or a unit test that fails, is an error.
        """
        printed = await unit_tests(source)
        lines: list[str] = []
        failed = False
        for variant in await load_variants(self.variant_files):
            assets = await self._assets(await self._plan(variant.name, None, "boot"))
            lines += await requirement_lines(assets)
            failed = failed or not assets.passed
            for way in WAYS if boot else ():
                booted = await self._boot(variant.name, way, None, parse_options(DEADLINE, None, kvm=False))
                lines += boot_lines(booted)
                failed = failed or not booted.up
        if failed:
            raise BuildError("\n".join(["a requirement is not met:", *lines]))
        return "\n".join([printed, *lines, ""])

    @fresh
    async def images(self, variant: args.VariantName, format_: args.ImagesFormat = "text") -> str:
        """List every image that a build of a variant pulls, by tag and digest, for mirrors.

        A reference a line, ready for `crane copy` or `skopeo copy`: those of the plan, those in which files are read
        and tests run, Dagger's engine and the base image of its Python SDK, and upstream's netboot server.
        """
        form = pulled.check_format(format_)
        (await load_variants(self.variant_files)).get(variant)  # before anything is fetched
        checkout = await load_checkout(self.upstream, self.release)
        plan = await self._plan(variant, None, "boot", checkout)
        found = pulled.pulled(plan, await tool_images(checkout, parse_arch(self.arch)))
        return pulled.as_json(found) if form == "json" else pulled.as_text(found)

    @fresh
    async def outdated(self, repository: args.Repository = None, to: args.WantedRelease = None) -> str:
        """Show newer versions than those in use, of CozyStack and of extensions, and what they would change.

        The plans of both releases are compared variant by variant: Talos, extensions with version and digest, drops.
        """
        return (await self._update(repository, to)).report

    @fresh
    async def update(
        self, source: args.UpdateSource, repository: args.Repository = None, to: args.WantedRelease = None
    ) -> dagger.Changeset:
        """Propose newer versions, of CozyStack and of extensions in variants, as changes to the checkout.

        What they would change in the plans is printed; `outdated` shows it without the changes.
        """
        found = await self._update(repository, to)
        say(found.report)
        return await apply_update(source, found)

    @fresh
    async def ci_files(self, source: args.CiFilesSource) -> dagger.Changeset:
        """Make the CI files of all vendors from one description (ci/vendors/), as changes to the checkout."""
        made = source
        for path, text in vendors.files().items():
            made = made.with_new_file(path, text)
        return made.changes(source)

    async def _subject(
        self,
        assets: dagger.Directory | None,
        image: str | None,
        file: dagger.File | None,
        flags: tuple[str, str, str] = examine.FLAGS,
    ) -> examine.Subject:
        return await examine.subject(assets, image, file, parse_arch(self.arch), flags=flags)

    async def _plan(
        self,
        variant: str,
        outputs: Iterable[str] | None,
        layout: str,
        checkout: Checkout | None = None,
        arch: Arch | None = None,
    ) -> Plan:
        chosen = parse_layout(layout)
        wanted = parse_outputs(outputs or DEFAULT_OUTPUTS, chosen)
        variants = await load_variants(self.variant_files)
        variants.get(variant)  # before anything is fetched
        if login := self._login():
            await login.log_in()
        where = arch or parse_arch(self.arch)
        files = tuple(image.extension for image in await self._local_images(where))
        checkout = checkout or await load_checkout(self.upstream, self.release)
        return await load_plan(
            checkout,
            variants,
            variant,
            where,
            self.source_date_epoch,
            wanted,
            chosen,
            files,
            await keys.planned() if (keys := self._keys()) else None,
        )

    def _keys(self) -> Keys | None:
        return parse_keys(self.secureboot_key, self.secureboot_cert, self.secureboot_pcr_key, self.secureboot_enrolment)

    def _login(self) -> Login | None:
        return parse_login(self.registry, self.registry_username, self.registry_password)

    async def _local_images(self, arch: Arch) -> tuple[LocalImage, ...]:
        return await read_local_images(self.extension_file, self.extension_layout, arch)

    async def _trees(self, arch: Arch) -> dict[str, dagger.Directory]:
        return {image.extension.digest: image.root for image in await self._local_images(arch)}

    async def _update(self, repository: str | None, to: str | None) -> Update:
        variants = await load_variants(self.variant_files)
        checkout = await load_checkout(self.upstream, self.release)
        return await find_update(checkout, variants, parse_arch(self.arch), repository, to)

    async def _boot(self, variant: str, way: Way, assets: dagger.Directory | None, options: Options) -> Boot:
        name = (await load_variants(self.variant_files)).get(variant).name
        if assets is not None:
            return await boot_assets(assets, way, name, parse_arch(self.arch), options)
        plan = await self._plan(name, OUTPUTS[way], "boot")
        return await boot_plan(plan, await (await self._pipeline(plan)).made(), way, options)

    async def _output(self, variant: str, output: str) -> dagger.File:
        plan = await self._plan(variant, [output], "boot")
        return (await self._passing(plan)).folder.file(plan.outputs[0].path)

    async def _image(self, variant: str, name: str, outputs: list[str] | None, layout: str) -> dagger.Container:
        kind = images.KINDS[name]
        (await load_variants(self.variant_files)).get(variant)
        checkout = await load_checkout(self.upstream, self.release)
        check_possible(kind, checkout.upstream)
        plan = await self._plan(variant, kind.outputs or outputs or images.NETBOOT, layout, checkout)
        return (await make_image(kind, await self._passing(plan), checkout.upstream)).container()

    async def _passing(self, plan: Plan) -> Assets:
        assets = await self._assets(plan)
        if not assets.passed:
            raise BuildError("the assets were built but do not pass their checks:\n" + await assets.report())
        return assets

    async def _pipeline(self, plan: Plan) -> Pipeline:
        return Pipeline(plan, await self._trees(plan.arch), self._keys())

    async def _records(self, variant: str, ways: Iterable[Way]) -> dagger.Directory:
        records = dag.directory()
        for way in ways:
            boot = came_up(await self._boot(variant, way, None, parse_options(DEADLINE, None, kvm=False)))
            records = records.with_directory(".", boot.record)
        return records

    async def _assets(self, plan: Plan, records: dagger.Directory | None = None) -> Assets:
        say(tables.plan_summary(plan))
        assets = await (await self._pipeline(plan)).sealed(records)
        say(await assets.report())
        return assets


# A user's mistake has its message; the SDK would log a traceback beside it.
CozystackTalos.__dagger_module__.log_exceptions = False  # type: ignore[attr-defined]
