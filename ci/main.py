"""CozyStack's Talos boot assets for arm64 and amd64, with the Spin and Tailscale system extensions."""

import dagger
from dagger import check, object_type

from ci import args
from ci.api import api_function
from ci.boot.ways import DEADLINE, WAYS, parse_ways
from ci.common.arch import Arch, parse_arch, parse_arches
from ci.common.deferred import deferred
from ci.common.errors import BuildError
from ci.functions.assets import AssetFunctions
from ci.functions.boots import BootFunctions
from ci.functions.nodes import NodeFunctions
from ci.functions.outputs import OutputFunctions
from ci.functions.pages import PageFunctions
from ci.functions.registries import RegistryFunctions
from ci.functions.upkeep import UpkeepFunctions
from ci.functions.workloads import WorkloadFunctions

with deferred():
    from ci.boot import request
    from ci.common import concurrency
    from ci.execute import boots, build, images_check, inputs, secureboot, selftest, several, signatures, signing
    from ci.execute import registry as registries
    from ci.plan import outputs as forms
    from ci.report import schematic, tables


@object_type
class CozystackTalos(
    OutputFunctions,
    RegistryFunctions,
    NodeFunctions,
    AssetFunctions,
    BootFunctions,
    UpkeepFunctions,
    PageFunctions,
    WorkloadFunctions,
):
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
    disk_sector_size: args.DiskSectorSize = None

    def __post_init__(self) -> None:
        """Fail on bad arguments before doing any work."""
        self._parsed()
        forms.parse_sector_size(self.disk_sector_size)

    def _parsed(self) -> "tuple[Arch, registries.Login | None, secureboot.Keys | None]":
        return (
            parse_arch(self.arch),
            registries.parse_login(self.registry, self.registry_username, self.registry_password),
            secureboot.parse_keys(
                self.secureboot_key, self.secureboot_cert, self.secureboot_pcr_key, self.secureboot_enrolment
            ),
        )

    async def _inputs(self) -> "inputs.Inputs":
        arch, login, keys = self._parsed()
        return await inputs.Inputs.load(
            inputs.Source(self.upstream, self.release),
            self.variant_files,
            arch,
            self.source_date_epoch,
            inputs.LocalFiles(self.extension_file or [], self.extension_layout or []),
            login,
            keys,
            forms.parse_sector_size(self.disk_sector_size),
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
        disk_size: args.DiskSize = None,
        base_url: args.BaseUrl = None,
        format_: args.Format = "text",
    ) -> str:
        """Show what would be built and why: versions, digests, extensions with reasons, imager profiles.

        Nothing is built. The references behind tags are looked up in their registries.
        """
        form = tables.parse_format(format_)
        inputs = await self._inputs()
        return tables.plan_as(await inputs.plan(variant, outputs, layout, disk_size=disk_size, base_url=base_url), form)

    @api_function
    async def build(
        self,
        variant: args.VariantNames,
        outputs: args.Outputs = None,
        layout: args.LayoutName = "boot",
        disk_size: args.DiskSize = None,
        base_url: args.BaseUrl = None,
        verify_signatures: args.VerifySignatures = False,
        cosign_key: args.CosignKey = None,
        cosign_mirrors: args.CosignMirrors = None,
        boot_from: args.BootWays = None,
        arches: args.BuiltArchitectures = None,
        sign_key: args.FilesSignKey = None,
        sign_password: args.SignPassword = None,
    ) -> dagger.Directory:
        """Build variants' boot assets, check them, and return them with checksums and a report.

        Layout: assets/talos/<arch>/boot/{vmlinuz,initramfs.xz}, further outputs each in a folder of its kind,
        checksums.sha256, and validation/build-report.{html,txt,json}; of several variants each is in a folder of its
        name, assets/talos/<arch>/<variant>/…. Assets that fail a check are an error. Where they are booted,
        validation/boot-<from>.{log,txt,json,svg} have the console, the verdict and its picture; where signatures are
        checked, validation/signatures.json has who signed which input, as report and provenance do. With a key to sign
        with, FILE.sigstore.json is the detached signature of FILE, as `cosign verify-blob --bundle` takes it.
        """
        ways = parse_ways(boot_from or [])
        signers = signatures.Signers.of(verify_signatures, cosign_key, cosign_mirrors, self._parsed()[1])
        signer = signing.Signer.of(sign_key, sign_password)
        wanted = parse_arches(arches or [self.arch])
        inputs = await self._inputs()
        if signer is not None:
            await signer.check()
        orders = await several.plan_orders(
            inputs, variant, wanted, outputs, layout, disk_size=disk_size, base_url=base_url
        )
        return await several.passing_tree(await several.build_orders(inputs, orders, ways, signers), signer)

    @api_function
    async def schematic(self, variant: args.VariantName, format_: args.Format = "text") -> str:
        """Show the variant as an Image Factory schematic, with its id.

        In the format yaml it is the canonical form, of which the id is the SHA-256; json has id and schematic.
        """
        form = tables.parse_format(format_)
        inputs = await self._inputs()
        return schematic.schematic_as(await inputs.plan(variant, ["cmdline"]), form)

    @check
    @api_function
    async def test(self, source: args.TestSource, boot: args.Boot = False) -> str:
        """Run the unit tests, build every variant and its images, and check each requirement on what came out.

        Prints a line for each requirement and variant, of images with the image's name; one that is not met, or a unit
        test that fails, is an error. Images are looked at with crane, from outside: they have no shell.
        """
        inputs = await self._inputs()  # first: the unit tests' image may be in a registry that wants a login
        orders = await several.plan_all(inputs)

        async def requirements() -> tuple[list[str], bool]:
            lines: list[str] = []
            met = True
            for assets in await several.build_orders(inputs, orders):
                variant = assets.plan.variant
                lines += await selftest.requirement_lines(assets)
                of_images, good = await images_check.image_lines(inputs, variant)
                lines += of_images
                met = met and assets.passed and good
                for way in WAYS if boot else ():
                    options = request.parse_options(DEADLINE, None, kvm=False)
                    booted = await build.boot_variant(inputs, variant, way, options)
                    lines += boots.boot_lines(booted)
                    met = met and booted.up
            return lines, met

        printed, (lines, met) = await concurrency.gather_two(lambda: selftest.unit_tests(source), requirements)
        if not met:
            raise BuildError("\n".join(["a requirement is not met:", *lines]))
        return "\n".join([printed, *lines, ""])


# A user's mistake has its message; the SDK would log a traceback in addition.
CozystackTalos.__dagger_module__.log_exceptions = False  # type: ignore[attr-defined]
