"""CozyStack's Talos boot assets for arm64 and amd64, with the Spin and Tailscale system extensions."""

from functools import partial

import dagger
from dagger import check, object_type

from ci import args
from ci.api import api_function
from ci.boot.model import DEADLINE, WAYS, Way, parse_way, parse_ways
from ci.boot.request import parse_options
from ci.common.arch import Arch, parse_arch, parse_arches
from ci.common.errors import BuildError
from ci.common.progress import say
from ci.execute import examine
from ci.execute.boots import boot_lines, boot_network, came_up, checked
from ci.execute.build import (
    boot_variant,
    build_assets,
    build_booted,
    build_image,
    build_output,
    build_passing,
    plan_images,
)
from ci.execute.ci_files import write_ci_files
from ci.execute.configure import check_files, check_services, configure, folder
from ci.execute.images_check import image_lines, verify_image
from ci.execute.inputs import Inputs, LocalFiles, Source
from ci.execute.load import tool_images
from ci.execute.pipeline import with_overlay
from ci.execute.publish import parse_destination, publish
from ci.execute.registry import Login, parse_login
from ci.execute.reproduce import reproduce
from ci.execute.secureboot import Keys, parse_keys
from ci.execute.selftest import requirement_lines, unit_tests
from ci.execute.signatures import Signers
from ci.execute.signing import Signer
from ci.execute.updating import apply_update, find_update
from ci.node import tailscale
from ci.node.check import Subject
from ci.node.installer import parse_installer
from ci.node.request import NodeSettings, parse_kind, parse_subnets
from ci.plan import images
from ci.plan.expectation import expectation_anywhere
from ci.plan.outputs import REPRODUCED_OUTPUTS
from ci.publish.address import parse_address
from ci.publish.publication import publication_as
from ci.report import pulled, tables
from ci.report.schematic import schematic_as
from ci.upkeep.files import Arguments
from ci.upkeep.vendors import parse_vendors


@object_type
class CozystackTalos:
    """CozyStack's Talos boot assets for arm64 and amd64, with the Spin and Tailscale system extensions."""

    upstream: args.Upstream
    release: args.Release = None
    variant_files: args.VariantFiles = None
    arch: args.Architecture = Arch.ARM64.value
    source_date_epoch: args.SourceDateEpoch = None
    extension_file: args.ExtensionFile = None
    extension_layout: args.ExtensionLayout = None
    registry: args.Registry = None
    registry_username: args.RegistryUsername = None
    registry_password: args.RegistryPassword = None
    secureboot_key: args.SecureBootKey = None
    secureboot_cert: args.SecureBootCert = None
    secureboot_pcr_key: args.SecureBootPcrKey = None
    secureboot_enrolment: args.SecureBootEnrolment = None

    def __post_init__(self) -> None:
        """Fail on bad arguments before doing any work."""
        self._parsed()

    def _parsed(self) -> tuple[Arch, Login | None, Keys | None]:
        return (
            parse_arch(self.arch),
            parse_login(self.registry, self.registry_username, self.registry_password),
            parse_keys(self.secureboot_key, self.secureboot_cert, self.secureboot_pcr_key, self.secureboot_enrolment),
        )

    async def _inputs(self) -> Inputs:
        arch, login, keys = self._parsed()
        return await Inputs.load(
            Source(self.upstream, self.release),
            self.variant_files,
            arch,
            self.source_date_epoch,
            LocalFiles(self.extension_file or [], self.extension_layout or []),
            login,
            keys,
        )

    @api_function
    async def variants(self) -> str:
        """List the variants: role, extensions, and what configuration a node needs."""
        return tables.variants_table((await self._inputs()).variants)

    @api_function
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
        inputs = await self._inputs()
        return tables.plan_as(await inputs.plan(variant, outputs, layout), form)

    @api_function
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
        booted, validation/boot-<from>.{log,txt,json,svg} have the console, the verdict and its picture; where
        signatures are checked, validation/signatures.json has who signed which input, as report and provenance do.
        """
        ways = parse_ways(boot_from or [])
        signers = Signers.of(verify_signatures, cosign_key, cosign_mirrors, self._parsed()[1])
        inputs = await self._inputs()
        plan = await inputs.plan(variant, outputs, layout)
        signed = await signers.verify(plan) if signers else None
        assets = await build_passing(inputs, plan, signed)
        if ways:
            assets = await build_booted(inputs, plan, ways, signed)
        return assets.tree

    @api_function
    async def schematic(self, variant: args.VariantName, format_: args.Format = "text") -> str:
        """Show the variant as an Image Factory schematic, with its id.

        In the format yaml it is the canonical form, of which the id is the SHA-256; json has id and schematic.
        """
        form = tables.parse_format(format_)
        inputs = await self._inputs()
        return schematic_as(await inputs.plan(variant, ["cmdline"]), form)

    @api_function
    async def kernel(self, variant: args.VariantName) -> dagger.File:
        """Build the kernel (vmlinuz), which netboot servers serve."""
        return await build_output(await self._inputs(), variant, "kernel")

    @api_function
    async def initramfs(self, variant: args.VariantName) -> dagger.File:
        """Build the initramfs with all extensions in it, which netboot servers serve."""
        return await build_output(await self._inputs(), variant, "initramfs")

    @api_function
    async def cmdline(self, variant: args.VariantName) -> dagger.File:
        """Build the kernel's command line, as text, for boot loaders that need it beside kernel and initramfs."""
        return await build_output(await self._inputs(), variant, "cmdline")

    @api_function
    async def uki(self, variant: args.VariantName) -> dagger.File:
        """Build the unified kernel image: kernel, initramfs and command line as one EFI program."""
        return await build_output(await self._inputs(), variant, "uki")

    @api_function
    async def iso(self, variant: args.VariantName) -> dagger.File:
        """Build the ISO image, for USB sticks and virtual machines."""
        return await build_output(await self._inputs(), variant, "iso")

    @api_function
    async def metal(self, variant: args.VariantName, format_: args.DiskFormat = "raw.zst") -> dagger.File:
        """Build the disk image for bare metal."""
        return await build_output(await self._inputs(), variant, f"metal.{format_}")

    @api_function
    async def nocloud(self, variant: args.VariantName, format_: args.DiskFormat = "raw.zst") -> dagger.File:
        """Build the disk image for clouds and hypervisors that configure machines by NoCloud."""
        return await build_output(await self._inputs(), variant, f"nocloud.{format_}")

    @api_function
    async def installer_archive(self, variant: args.VariantName) -> dagger.File:
        """Build the installer image as a docker archive, which `crane push` and `skopeo copy` take."""
        return await build_output(await self._inputs(), variant, "installer")

    @api_function
    async def installer(self, variant: args.VariantName) -> dagger.Container:
        """Build the installer image, which `talosctl upgrade` and the machine configuration name."""
        return await build_image(await self._inputs(), variant, "installer")

    @api_function
    async def asset_image(
        self, variant: args.VariantName, outputs: args.AssetOutputs = None, layout: args.LayoutName = "boot"
    ) -> dagger.Container:
        """Build an image that holds the boot assets below /assets and nothing else, with checksums and report."""
        return await build_image(await self._inputs(), variant, "assets", outputs, layout)

    @api_function
    async def matchbox(self, variant: args.VariantName) -> dagger.Container:
        """Build CozyStack's netboot image: Matchbox with kernel, initramfs and profiles for the architecture.

        Below /var/lib/matchbox: assets/{vmlinuz,initramfs.xz}, and the checkout's groups and profiles; their kernel
        arguments are the imager's.
        """
        return await build_image(await self._inputs(), variant, "matchbox")

    @api_function
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
        force: args.Force = False,
        format_: args.Format = "text",
    ) -> str:
        """Publish a variant's images with SBOM and provenance, and say by which references nodes get them.

        Everything is pushed by digest first, tags are set at the end: <variant>-<talos>-<cozystack>, and the channel's.
        What the registry has already is not sent again. Stand-ins are refused but for a registry on this machine. A tag
        that names other content than the same plan's, or a channel's that names another variant, needs --force.
        """
        form = tables.parse_format(format_)
        kinds = images.parse_kinds(image_names or images.KINDS)
        wanted = parse_arches(arches or [self.arch])
        signer = Signer.of(sign_key, sign_password)
        to = await parse_destination(address, channel, username, password, plain_http=plain_http, force=force)
        inputs = await self._inputs()
        orders = await plan_images(inputs, kinds, variant, outputs, wanted)
        upstream = (await inputs.checkout()).upstream
        published = await publish(orders, upstream, to, partial(build_passing, inputs), signer)
        named = await inputs.plan(variant, ["cmdline"], arch=wanted[0])
        return publication_as(published, named, form)

    @api_function
    async def machine_config(
        self,
        variant: args.VariantName,
        tailscale_auth_key: args.AuthKey = None,
        routes: args.Routes = None,
        hostname: args.Hostname = None,
        tailscale_args: args.TailscaleArguments = None,
        join_cidr: args.JoinCidr = None,
        installer: args.Installer = None,
        install_disk: args.InstallDisk = None,
        node_subnets: args.NodeSubnets = None,
        for_: args.NodeKind = None,
        login_server: args.LoginServer = None,
        accept_routes: args.AcceptRoutes = None,
        accept_dns: args.AcceptDns = None,
        advertise_tags: args.AdvertiseTags = None,
        tailscale_client_id: args.TailscaleClientId = None,
        tailscale_audience: args.TailscaleAudience = None,
        talm: args.Talm = False,
        check_: args.CheckedFiles = None,
    ) -> dagger.Directory:
        """Write the configuration that a variant's nodes need, as Talos patches ready to apply.

        Layout: node.yaml, a patch for each node; kubernetes.yaml, the cluster's RuntimeClasses, and the same in
        controlplane.yaml as a patch for a new cluster. From Talos v1.14 on also install.yaml, and in v1alpha1/ the same
        for configurations of the older form. A service in the image that waits for something which the patches do not
        give is an error. An auth key is in node.yaml, and in the engine's cache. With --check, check.txt has what was
        found in configurations that are there already; a problem in one is an error.
        """
        inputs = await self._inputs()
        chosen = inputs.variants.get(variant)
        asked = tailscale.Asked(
            routes=routes,
            hostname=hostname,
            arguments=tailscale_args,
            join_cidr=join_cidr,
            has_auth_key=tailscale_auth_key is not None,
            login_server=login_server,
            accept_routes=accept_routes,
            accept_dns=accept_dns,
            tags=advertise_tags,
            client_id=tailscale_client_id,
            audience=tailscale_audience,
        )
        node = NodeSettings(parse_subnets(node_subnets), parse_kind(for_, chosen), install_disk, talm)
        tailscale.settings(chosen, asked)  # before anything is fetched
        image = parse_installer(installer, chosen.name, inputs.variants.names)
        plan = await inputs.plan(variant, ["installer"])
        services = await check_services(plan, chosen, await inputs.pipeline(plan))
        made = await configure(plan, chosen, asked, node, image, tailscale_auth_key)
        for warning in made.warnings:
            say(f"WARNING: {warning}")
        result = await folder(made, tailscale_auth_key)
        if check_:
            found = await check_files(check_, Subject(chosen, plan, services, tuple(inputs.variants.names)))
            say(found)
            result = result.with_new_file("check.txt", found)
        return result

    @api_function
    async def inspect(
        self,
        assets: args.Assets = None,
        image: args.AssetImage = None,
        file: args.AssetFile = None,
        format_: args.Format = "text",
        all_: args.AllFiles = False,
    ) -> str:
        """Show what is inside boot assets: a folder, a container image, or a file of any kind.

        Kernel, initramfs with its extensions, UKI, installer, ISO and disk images are told by content, not by name.
        What can't be read is an error that names the file and the place in it.
        """
        form = tables.parse_format(format_)
        return await examine.inspect(await self._subject(assets, image, file), form, whole=all_)

    @api_function
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
        Where nothing boots there is nothing to check, which is an error. Of an image, what crane says of it is checked
        too: platform, labels, annotations, digests, files.
        """
        form = tables.parse_format(format_)
        found = await self._subject(assets, image, file)
        expected = None
        if variant:
            plan = await (await self._inputs()).plan(variant)
            expected = await with_overlay(expectation_anywhere(plan), plan)
        if image is not None:
            arch, login, _ = self._parsed()
            return await verify_image(image, arch, login, expected, form)
        return await examine.verify(found, expected, form)

    @api_function
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

    @api_function
    async def reproduce(
        self, variant: args.VariantName, outputs: args.ReproducedOutputs = None, format_: args.Format = "text"
    ) -> str:
        """Build a variant twice, no imager run from the cache, and compare every output byte by byte.

        Prints each output's checksum. Where two are not equal, the error names the first difference by what it is: an
        archive's entry, a header's field.
        """
        form = tables.parse_format(format_)
        inputs = await self._inputs()
        return await reproduce(inputs, await inputs.plan(variant, outputs or REPRODUCED_OUTPUTS), form)

    @api_function
    async def boot(
        self,
        variant: args.VariantName,
        from_: args.BootFrom = "kernel",
        assets: args.BootedAssets = None,
        kernel_args: args.KernelArguments = None,
        machine_config: args.MachineConfiguration = None,
        deadline: args.Deadline = DEADLINE,
        kvm: args.Kvm = False,
    ) -> str:
        """Boot a variant in QEMU, show its console, and say how it went; one that does not come up is an error.

        It comes up when Talos enters its maintenance mode, or with a machine configuration when its services run. The
        verdict has the time to each stage, the enabled extensions, and checks with the console's lines as evidence.
        """
        options = parse_options(deadline, kernel_args, kvm=kvm)
        way, given = parse_way(from_), await checked(machine_config)
        return came_up(await boot_variant(await self._inputs(), variant, way, options, assets, given)).text

    @api_function
    async def boot_record(
        self,
        variant: args.VariantName,
        from_: args.BootFrom = "kernel",
        assets: args.BootedAssets = None,
        kernel_args: args.KernelArguments = None,
        machine_config: args.MachineConfiguration = None,
        deadline: args.Deadline = DEADLINE,
        kvm: args.Kvm = False,
    ) -> dagger.Directory:
        """Boot as `boot` does, and return what there is to keep of it, however it went.

        Layout: boot-<from>.log, the console with times; .txt and .json, the verdict; .svg, the stages as a picture.
        """
        options = parse_options(deadline, kernel_args, kvm=kvm)
        way, given = parse_way(from_), await checked(machine_config)
        return (await boot_variant(await self._inputs(), variant, way, options, assets, given)).record

    @api_function
    async def netboot(
        self,
        variant: args.VariantName,
        kernel_args: args.KernelArguments = None,
        machine_config: args.MachineConfiguration = None,
        deadline: args.Deadline = DEADLINE,
        kvm: args.Kvm = False,
    ) -> str:
        """Boot a variant over the network, as a node without a disk does, from the image that `matchbox` builds.

        iPXE is started from a small EFI partition, gets an address by DHCP, and asks Matchbox for all else by HTTP.
        """
        options = parse_options(deadline, kernel_args, kvm=kvm)
        given = await checked(machine_config)
        inputs = await self._inputs()
        image = await build_image(inputs, variant, "matchbox")
        plan, upstream = await inputs.plan(variant, images.NETBOOT), (await inputs.checkout()).upstream
        return came_up(await boot_network(plan, image, upstream, options, given)).text

    @check
    @api_function
    async def boots(self) -> str:
        """Boot the first variant from its kernel and the last through UEFI: what every change should pass."""
        inputs = await self._inputs()
        names = inputs.variants.names
        options = parse_options(DEADLINE, None, kvm=False)
        trials = ((names[0], Way.KERNEL), (names[-1], Way.UKI))
        return "\n".join([came_up(await boot_variant(inputs, name, way, options)).text for name, way in trials])

    @check
    @api_function
    async def test(self, source: args.TestSource, boot: args.Boot = False) -> str:
        """Run the unit tests, build every variant and its images, and check each requirement on what came out.

        Prints a line for each requirement and variant, of images with the image's name; one that is not met, or a unit
        test that fails, is an error. Images are looked at with crane, from outside: they have no shell.
        """
        printed = await unit_tests(source)
        lines: list[str] = []
        failed = False
        inputs = await self._inputs()
        for variant in inputs.variants:
            assets = await build_assets(inputs, await inputs.plan(variant.name))
            lines += await requirement_lines(assets)
            failed = failed or not assets.passed
            of_images, good = await image_lines(inputs, variant.name)
            lines += of_images
            failed = failed or not good
            for way in WAYS if boot else ():
                booted = await boot_variant(inputs, variant.name, way, parse_options(DEADLINE, None, kvm=False))
                lines += boot_lines(booted)
                failed = failed or not booted.up
        if failed:
            raise BuildError("\n".join(["a requirement is not met:", *lines]))
        return "\n".join([printed, *lines, ""])

    @api_function
    async def images(self, variant: args.VariantName, format_: args.ImagesFormat = "text") -> str:
        """List every image that a build of a variant pulls, by tag and digest, for mirrors.

        A reference a line, ready for `crane copy` or `skopeo copy`: those of the plan, those in which files are read
        and tests run, Dagger's engine and the base image of its Python SDK, and upstream's netboot server.
        """
        form = pulled.check_format(format_)
        inputs = await self._inputs()
        plan = await inputs.plan(variant)
        found = pulled.pulled(plan, await tool_images(await inputs.checkout(), inputs.resolver(inputs.arch)))
        return pulled.as_json(found) if form == "json" else pulled.as_text(found)

    @api_function
    async def outdated(self, repository: args.Repository = None, to: args.WantedRelease = None) -> str:
        """Show newer versions than those in use, of CozyStack and of extensions, and what they would change.

        The plans of both releases are compared variant by variant: Talos, extensions with version and digest, drops.
        """
        inputs = await self._inputs()
        return (await find_update(inputs, repository, to)).report

    @api_function
    async def update(
        self, source: args.UpdateSource, repository: args.Repository = None, to: args.WantedRelease = None
    ) -> dagger.Changeset:
        """Propose newer versions, of CozyStack and of extensions in variants, as changes to the checkout.

        What they would change in the plans is printed; `outdated` shows it without the changes.
        """
        found = await find_update(await self._inputs(), repository, to)
        say(found.report)
        return await apply_update(source, found)

    @api_function
    async def ci_files(
        self,
        vendor: args.VendorNames,
        source: args.CiFilesSource,
        module: args.ModuleReference = None,
        variant: args.ReleasedVariants = None,
        variants_folder: args.VariantsFolder = None,
        outputs: args.ReleasedOutputs = None,
        address: args.ReleaseAddress = None,
        dagger_version: args.DaggerVersion = None,
        dagger_checksum: args.DaggerChecksum = None,
    ) -> dagger.Changeset:
        """Write the CI files of one vendor, of several, or of all, as changes to your checkout.

        On changes their jobs call test and boots, on tags build and publish. Of the global options, --variants,
        --release and --arch go into these calls. What has to be set up at the vendor is printed.
        """
        arguments = Arguments(
            module=module,
            variant=tuple(variant or ()),
            variants_folder=variants_folder,
            outputs=tuple(outputs or ()),
            address=None if address is None else str(parse_address(address)),
            dagger=dagger_version,
            dagger_checksum=dagger_checksum,
            release=self.release,
            arch=parse_arch(self.arch),
        )
        return await write_ci_files(source, parse_vendors(vendor), arguments, self.variant_files)

    async def _subject(
        self,
        assets: dagger.Directory | None,
        image: str | None,
        file: dagger.File | None,
        flags: tuple[str, str, str] = examine.FLAGS,
    ) -> examine.Subject:
        arch = (await self._inputs()).arch
        return await examine.subject(assets, image, file, arch, flags=flags)


# A user's mistake has its message; the SDK would log a traceback beside it.
CozystackTalos.__dagger_module__.log_exceptions = False  # type: ignore[attr-defined]
