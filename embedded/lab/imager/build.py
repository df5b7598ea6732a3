"""The steps from a profile to its output file, in the real imager's order."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import goyaml
from .cmdline import build_cmdline
from .disk import DiskBuilder
from .errors import ImagerError, open_input
from .extensions import Metadata
from .initramfs import InitramfsBuilder
from .installer import write_installer
from .iso import IsoBuilder
from .oci import flattened, pull
from .profile import Bootloader, ContainerAsset, DiskFormat, ImageOptions, OutFormat, OutputKind, Profile
from .profile_rules import fill_defaults, validate
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

    @property
    def quirks(self) -> Quirks:
        return self.contract.quirks(self.profile.version)

    def execute(self) -> Path:
        report = self.reporter.report
        profile = self.profile
        if profile.has_overlay:
            raise ImagerError("the lab's imager knows no overlays: leave `overlay` out of the profile")
        report("skipped pulling overlay (no overlay)")
        fill_defaults(profile, self.contract)
        validate(profile)
        self._refuse_what_the_lab_lacks()
        if profile.customization.embedded_machine_configuration:
            self._embed_machine_configuration(profile.customization.embedded_machine_configuration)
        report("profile ready:")
        print(profile.echo(), end="", file=self.reporter.stream, flush=True)

        initramfs = self._initramfs()
        cmdline = build_cmdline(profile, self.quirks)
        report(f"kernel command line: {cmdline}")
        uki, boot_loader = self.scratch / "vmlinuz.efi", self.scratch / "systemd-boot.efi"
        if profile.output.kind.needs_uki:
            builder = UkiBuilder(profile, self.contract, cmdline, initramfs)
            builder.build(uki, boot_loader, self.reporter.progress("building UKI..."))
            report("UKI ready")

        target = self.out / profile.file_name
        self._output(target, cmdline, initramfs, uki, boot_loader)
        report(f"output asset path: {target}")
        return self._compressed(target)

    def _refuse_what_the_lab_lacks(self) -> None:
        profile = self.profile
        kind = profile.output.kind
        if profile.secure_boot:
            raise ImagerError("the lab's imager signs nothing: set `secureboot: false`")
        if kind.needs_initramfs and not self.quirks.since(1, 10):
            raise ImagerError(f"the lab's imager makes no {kind.value} of Talos {profile.version}: v1.10 or newer")
        if kind not in {OutputKind.ISO, OutputKind.IMAGE}:
            return
        if not self.contract.makes_disks:
            raise ImagerError(
                f"the lab's imager {self.contract.tag} makes no {kind.value}: it makes kernel, cmdline, initramfs, "
                "uki and installer; the lab's imager v1.13.6 makes all kinds"
            )
        options = profile.output.image_options if kind is OutputKind.IMAGE else profile.output.iso_options
        if options is not None and options.bootloader is not Bootloader.SD_BOOT:
            raise ImagerError(
                f"the lab's imager has no GRUB: {kind.value} with bootloader sd-boot only, "
                f"not {options.bootloader.value}"
            )

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
            raise ImagerError(f"failed to copy initramfs: {error}") from None
        tree = self.scratch / "extensions"
        labels: dict[Path, str] = {}
        for number, asset in enumerate(files.system_extensions):
            folder = tree / str(number)
            folder.mkdir(parents=True)
            labels |= self._unpack(asset, folder, progress)
        InitramfsBuilder(initramfs, self.contract, self.quirks, progress).build(tree, labels)
        self.reporter.report("initramfs ready")
        return initramfs

    def _unpack(self, asset: ContainerAsset, folder: Path, progress: Progress) -> dict[Path, str]:
        if not asset.tarball_path:
            return untar(flattened(pull(asset, self.profile.arch, progress)), folder)
        with open_input(asset.tarball_path) as file:
            progress(f"extracting {asset.tarball_path}...")
            return untar(tarball_members(file), folder)

    def _output(self, target: Path, cmdline: str, initramfs: Path, uki: Path, boot_loader: Path) -> None:
        profile, report, progress = self.profile, self.reporter.report, self.reporter.progress
        match profile.output.kind:
            case OutputKind.KERNEL:
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
                self._installer(target, initramfs, uki, boot_loader)
                report("installer container image ready")
            case OutputKind.ISO:
                iso = IsoBuilder(profile.arch, profile.version, uki, boot_loader, self.scratch / "iso")
                iso.build(target, progress("building ISO..."))
                report("ISO ready")
            case OutputKind.IMAGE:
                self._image(target, uki, boot_loader)
                report("disk image ready")
            case OutputKind.UNKNOWN:
                raise ImagerError("unknown output kind: unknown")

    def _installer(self, target: Path, initramfs: Path, uki: Path, boot_loader: Path) -> None:
        profile = self.profile
        progress = self.reporter.progress("building installer...")
        base = pull(profile.input.base_installer, profile.arch, progress)
        folder = f"usr/install/{profile.arch}"
        if self.quirks.boots_by_sd_boot:
            artifacts = {f"{folder}/systemd-boot.efi": boot_loader, f"{folder}/vmlinuz.efi": uki}
        else:
            artifacts = {f"{folder}/vmlinuz": Path(profile.input.kernel), f"{folder}/initramfs.xz": initramfs}
        write_installer(
            base,
            artifacts,
            arch=profile.arch,
            reference=profile.input.base_installer.image_ref,
            contract=self.contract,
            scratch=self.scratch,
            target=target,
            progress=progress,
        )

    def _image(self, target: Path, uki: Path, boot_loader: Path) -> None:
        profile = self.profile
        options = profile.output.image_options or ImageOptions()
        disk = DiskBuilder(
            arch=profile.arch,
            version=profile.version,
            quirks=self.quirks,
            size=options.disk_size,
            meta=profile.customization.meta_contents,
            uki=uki,
            boot_loader=boot_loader,
            scratch=self.scratch / "image",
        )
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
