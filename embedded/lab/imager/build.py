"""The steps from a profile to its output file, in the real imager's order."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import goyaml
from .base_profiles import built_in, merged
from .cmdline import build_cmdline
from .disk import SECTOR, DiskBuilder
from .errors import DEPENDENCY, FILE, INSTALLATION, INVALID, ImagerError, failing_with, open_input
from .extensions import Metadata
from .initramfs import InitramfsBuilder
from .installer import write_installer
from .iso import IsoBuilder
from .loop_disk import LoopDiskBuilder
from .oci import flattened, pull
from .overlay import BASE, OverlayInstaller, host_architecture, installer_files
from .profile import (
    Bootloader,
    ContainerAsset,
    DiskFormat,
    EnrollKeys,
    ImageOptions,
    IsoOptions,
    OutFormat,
    OutputKind,
    Profile,
    SecureBootAssets,
)
from .profile_rules import fill_defaults, validate
from .secureboot import Signer, enrollment, pcr_key, secure_boot_signer
from .tools import copy_file, run
from .uki import UkiBuilder
from .untar import SELINUX_RECORD, tarball_members, untar

if TYPE_CHECKING:
    from .contract import Contract, Quirks
    from .report import Progress, Reporter

_EMBEDDED_CONFIG_FOLDER = "usr/local/etc/talos"
_EMBEDDED_CONFIG_LABEL = "system_u:object_r:system_state_t:s0"
_COMPRESSORS = {
    OutFormat.XZ: ["xz", "-0", "-f", "-T", "0"],
    OutFormat.GZ: ["gzip", "-6", "--no-name", "-f"],
    OutFormat.ZSTD: ["zstd", "-T0", "--rm", "-18", "--quiet", "--force"],
}


def build(profile: Profile, out: Path, contract: Contract, reporter: Reporter) -> Path:
    """Builds what a profile asks for into a folder and returns the file.

    Raises ImagerError for whatever goes wrong.
    """
    with tempfile.TemporaryDirectory(prefix="imager") as scratch:
        return _Build(profile, out, contract, reporter, Path(scratch)).execute()


@dataclass
class _Build:
    profile: Profile
    out: Path
    contract: Contract
    reporter: Reporter
    scratch: Path
    overlay: OverlayInstaller | None = None

    @property
    def quirks(self) -> Quirks:
        return self.contract.quirks(self.profile.version)

    def execute(self) -> Path:
        report = self.reporter.report
        self._resolve()
        profile = self.profile
        self._refuse_what_the_lab_lacks()
        if profile.customization.embedded_machine_configuration:
            self._embed_machine_configuration(profile.customization.embedded_machine_configuration)
        report("profile ready:")
        print(profile.echo(), end="", file=self.reporter.stream, flush=True)

        initramfs = self._initramfs()
        board = [] if self.overlay is None else self.overlay.kernel_arguments()
        with failing_with(INVALID):
            cmdline = build_cmdline(profile, self.quirks, board)
        report(f"kernel command line: {cmdline}")
        uki, boot_loader = self.scratch / "vmlinuz.efi", self.scratch / "systemd-boot.efi"
        if profile.output.kind.needs_uki:
            builder = UkiBuilder(profile, self.contract, cmdline, initramfs)
            if profile.secure_boot:
                boot_loader, uki = (path.with_name(f"{path.name}.signed") for path in (boot_loader, uki))
                builder = self._with_keys(builder)
            with failing_with(DEPENDENCY):
                builder.build(uki, boot_loader, self.reporter.progress("building UKI..."))
            report("UKI ready")

        target = self.out / profile.file_name
        self._output(target, cmdline, initramfs, uki, boot_loader)
        report(f"output asset path: {target}")
        return self._compressed(target)

    def _resolve(self) -> None:
        """Unpacks the overlay, lays the profile over the one that it names, completes and checks it."""
        profiles = built_in()
        if self.profile.overlay is None:
            self.reporter.report("skipped pulling overlay (no overlay)")
        else:
            folder = self.scratch / BASE
            folder.mkdir()
            progress = self.reporter.progress("pulling overlay...")
            self._unpack(self.profile.overlay.image, folder, progress, host_architecture())
            self.overlay = OverlayInstaller.of(self.scratch, self.profile.overlay)
            profiles |= self.overlay.profiles(self.contract)
        if name := self.profile.base_profile_name:
            if name not in profiles:
                with failing_with(INVALID):
                    raise ImagerError(f"unknown base profile: {name}")
            self.profile = merged(profiles[name], self.profile)
            self.profile.base_profile_name = ""
        fill_defaults(self.profile, self.contract)
        with failing_with(INVALID):
            validate(self.profile, self.contract)

    def _refuse_what_the_lab_lacks(self) -> None:
        profile = self.profile
        kind = profile.output.kind
        if kind.needs_initramfs and not self.quirks.since(1, 10):
            raise ImagerError(f"the lab's imager makes no {kind.value} of Talos {profile.version}: v1.10 or newer")
        if profile.input.image_cache != ContainerAsset() and kind in {OutputKind.ISO, OutputKind.IMAGE}:
            raise ImagerError("the lab's imager knows no image cache: leave `input.imageCache` out of the profile")
        keys = profile.input.secure_boot
        if keys is not None and keys.well_known_certs and kind is OutputKind.ISO:
            raise ImagerError(
                "the lab's imager has none of Microsoft's certificates: leave `includeWellKnownCerts` out"
            )

    def _with_keys(self, builder: UkiBuilder) -> UkiBuilder:
        keys = self.profile.input.secure_boot or SecureBootAssets()
        try:
            pcr = pcr_key(keys)
        except ImagerError as error:
            raise ImagerError(f"failed to get PCR signer: {error}") from None
        try:
            signer = secure_boot_signer(keys)
        except ImagerError as error:
            raise ImagerError(f"failed to get SecureBoot signer: {error}") from None
        return replace(builder, signer=signer, pcr_key=pcr)

    def _embed_machine_configuration(self, text: str) -> None:
        """Turns a machine configuration into one more extension, as a tar file."""
        metadata = Metadata(
            name="embedded-config",
            version=hashlib.sha256(text.encode()).hexdigest(),
            author="Imager",
            description="Virtual extension which embeds the machine configuration.",
            talos_constraint=">= 1.0.0",
        )
        manifest = goyaml.dump({"version": "v1alpha1", "metadata": metadata.echo()}, indent=4)
        path = self.scratch / "embedded-config.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
            _add(archive, "manifest.yaml", manifest.encode(), 0o644)
            folder = Path("rootfs")
            for part in ("", *_EMBEDDED_CONFIG_FOLDER.split("/")):
                folder = folder / part
                directory = tarfile.TarInfo(str(folder))
                directory.type, directory.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(directory)
            records = {SELINUX_RECORD: _EMBEDDED_CONFIG_LABEL}
            _add(archive, f"rootfs/{_EMBEDDED_CONFIG_FOLDER}/config.yaml", text.encode(), 0o400, records)
        self.profile.input.system_extensions.append(ContainerAsset(tarball_path=str(path)))

    def _initramfs(self) -> Path:
        """Returns the initramfs to use: the input itself, or a copy with the extensions appended."""
        files = self.profile.input
        if not files.system_extensions:
            self.reporter.report("skipped initramfs rebuild (no system extensions)")
            return Path(files.initramfs)
        if not self.profile.output.kind.needs_initramfs:
            return Path(files.initramfs)
        progress = self.reporter.progress("rebuilding initramfs with system extensions...")
        initramfs = self.scratch / "initramfs.xz"
        try:
            copy_file(files.initramfs, initramfs, progress)
        except ImagerError as error:
            with failing_with(FILE):
                raise ImagerError(f"failed to copy initramfs: {error}") from None
        tree = self.scratch / "extensions"
        labels: dict[Path, str] = {}
        for number, asset in enumerate(files.system_extensions):
            folder = tree / str(number)
            folder.mkdir(parents=True)
            labels |= self._unpack(asset, folder, progress, self.profile.arch)
        InitramfsBuilder(initramfs, self.contract, self.quirks, progress).build(tree, labels)
        self.reporter.report("initramfs ready")
        return initramfs

    def _unpack(self, asset: ContainerAsset, folder: Path, progress: Progress, arch: str) -> dict[Path, str]:
        if not asset.tarball_path:
            return untar(flattened(pull(asset, arch, progress)), folder)
        with open_input(asset.tarball_path) as file:
            progress(f"extracting {asset.tarball_path}...")
            return untar(tarball_members(file), folder)

    def _output(self, target: Path, cmdline: str, initramfs: Path, uki: Path, boot_loader: Path) -> None:
        profile, report, progress = self.profile, self.reporter.report, self.reporter.progress
        match profile.output.kind:
            case OutputKind.KERNEL:
                with failing_with(FILE):
                    copy_file(profile.input.kernel, target, progress("copying kernel..."))
                report("kernel output ready")
            case OutputKind.CMDLINE:
                target.write_text(cmdline)
            case OutputKind.INITRAMFS:
                copy_file(initramfs, target, progress("copying initramfs..."))
                report("initramfs output ready")
            case OutputKind.UKI:
                copy_file(uki, target, progress("copying kernel..."))
                report("UKI output ready")
            case OutputKind.INSTALLER:
                with failing_with(DEPENDENCY):
                    self._installer(target, initramfs, uki, boot_loader)
                report("installer container image ready")
            case OutputKind.ISO:
                with failing_with(DEPENDENCY):
                    self._iso(cmdline, initramfs, uki, boot_loader).build(target, progress("building ISO..."))
                report("ISO ready")
            case OutputKind.IMAGE:
                with failing_with(INSTALLATION):
                    self._image(target, cmdline, initramfs, uki, boot_loader)
                report("disk image ready")
            case OutputKind.UNKNOWN:
                raise ImagerError("unknown output kind: unknown")

    def _installer(self, target: Path, initramfs: Path, uki: Path, boot_loader: Path) -> None:
        profile = self.profile
        progress = self.reporter.progress("building installer...")
        base = pull(profile.input.base_installer, profile.arch, progress)
        folder = f"usr/install/{profile.arch}"
        if self.quirks.boots_by_sd_boot or profile.secure_boot:
            artifacts = {f"{folder}/systemd-boot.efi": boot_loader, f"{folder}/vmlinuz.efi": uki}
        else:
            artifacts = {f"{folder}/vmlinuz": Path(profile.input.kernel), f"{folder}/initramfs.xz": initramfs}
        overlay: dict[str, tuple[Path, int]] = {}
        if self.overlay is not None:
            unpacked = self.scratch / "overlay-installer"
            (unpacked / BASE).mkdir(parents=True)
            pulling = self.reporter.progress("pulling overlay for installer...")
            self._unpack(profile.input.overlay_installer, unpacked / BASE, pulling, profile.arch)
            overlay = installer_files(unpacked, self.overlay.name, self.overlay.options)
        write_installer(
            base,
            artifacts,
            overlay,
            arch=profile.arch,
            reference=profile.input.base_installer.image_ref,
            contract=self.contract,
            scratch=self.scratch,
            target=target,
            progress=progress,
        )

    def _iso(self, cmdline: str, initramfs: Path, uki: Path, boot_loader: Path) -> IsoBuilder:
        profile = self.profile
        # Before Talos v1.12 an ISO has both; so it has in the imager of v1.11, whatever it makes.
        chosen = (profile.output.iso_options or IsoOptions()).bootloader
        if not (self.contract.chooses_iso_bootloader and self.quirks.iso_has_bootloader):
            chosen = Bootloader.DUAL_BOOT if self.quirks.boots_by_sd_boot else Bootloader.GRUB
        builder = IsoBuilder(
            arch=profile.arch,
            version=profile.version,
            bootloader=Bootloader.SD_BOOT if profile.secure_boot else chosen,
            cmdline=cmdline,
            kernel=Path(profile.input.kernel),
            initramfs=initramfs,
            uki=uki,
            boot_loader=boot_loader,
            scratch=self.scratch / "iso",
            random_seed=self.contract.iso_has_random_seed,
        )
        return self._enrolling(builder) if profile.secure_boot else builder

    def _enrolling(self, builder: IsoBuilder) -> IsoBuilder:
        """Lets an ISO's systemd-boot enroll the keys."""
        signer, keys = self._enrollment()
        enroll = (self.profile.output.iso_options or IsoOptions()).enroll_keys.value
        return replace(builder, enroll=enroll, certificate=signer.certificate_der, keys=keys)

    def _enrollment(self) -> tuple[Signer, dict[str, Path]]:
        """Returns who signs, and the variables to enroll: those given, else ones made for the signing certificate."""
        assets = self.profile.input.secure_boot or SecureBootAssets()
        signer = secure_boot_signer(assets)
        if assets.platform_key:
            given = {"PK": assets.platform_key, "KEK": assets.key_exchange_key, "db": assets.signature_key}
            keys = {name: Path(path) for name, path in given.items() if path}
        else:
            self.reporter.report("generating SecureBoot database...")
            keys = enrollment(signer, self.scratch)
        return signer, keys

    def _image(self, target: Path, cmdline: str, initramfs: Path, uki: Path, boot_loader: Path) -> None:
        profile = self.profile
        options = profile.output.image_options or ImageOptions()
        disk = (LoopDiskBuilder if self.contract.disks_need_loop else DiskBuilder)(
            arch=profile.arch,
            version=profile.version,
            contract=self.contract,
            size=options.disk_size,
            bootloader=options.boots_by,
            secure_boot=bool(profile.secure_boot),
            meta=profile.customization.meta_contents,
            cmdline=cmdline,
            kernel=Path(profile.input.kernel),
            initramfs=initramfs,
            uki=uki,
            boot_loader=boot_loader,
            overlay=self.overlay,
            scratch=self.scratch / "image",
            sector=options.disk_sector_size or SECTOR,
        )
        if profile.secure_boot and self.contract.disks_enroll_keys and options.enroll_keys is not EnrollKeys.OFF:
            disk = replace(disk, enroll=options.enroll_keys.value, keys=self._enrollment()[1])
        disk.build(target, self.reporter.progress("creating disk image..."))
        if options.disk_format is DiskFormat.UNKNOWN:
            raise ImagerError("unsupported disk format: unknown")
        if options.disk_format is not DiskFormat.RAW:
            raise ImagerError(f"the lab's imager makes raw disk images only, not {options.disk_format.value}")

    def _compressed(self, target: Path) -> Path:
        out_format = self.profile.output.out_format
        if out_format is OutFormat.RAW:
            return target
        if out_format is OutFormat.UNKNOWN:
            raise ImagerError("unknown output format: unknown")
        if out_format not in _COMPRESSORS:
            raise ImagerError(f"the lab's imager makes no {out_format.value}: choose raw, .xz, .gz or .zst")
        self.reporter.report(f"compressing {out_format.value}")
        run([*_COMPRESSORS[out_format], target])
        compressed = target.with_name(target.name + out_format.value)
        self.reporter.report(f"compression done: {compressed}")
        return compressed


def _add(
    archive: tarfile.TarFile, name: str, contents: bytes, mode: int, records: dict[str, str] | None = None
) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.pax_headers = len(contents), mode, records or {}
    archive.addfile(member, io.BytesIO(contents))
