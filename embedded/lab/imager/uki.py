"""The unified kernel image: systemd's stub, with all that a machine boots as sections of one PE file."""

from __future__ import annotations

import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .contract import Contract
from .errors import ImagerError, open_input, require
from .pe import Section, append_sections, section_of
from .profile import OutputKind, Profile
from .secureboot import Signer, pcr_signature, public_key
from .tools import copy_file, source_date_epoch

if TYPE_CHECKING:
    from .report import Progress

_SPLASH_WIDTH, _SPLASH_HEIGHT = 320, 200
_SPLASH_BACKGROUND, _SPLASH_BAR = b"\x40\x2a\x1e", b"\xb0\x8a\x4c"


@dataclass(frozen=True)
class UkiBuilder:
    """Builds the UKI of a profile; with keys, signed ones of it and of systemd-boot."""

    profile: Profile
    contract: Contract
    cmdline: str
    initramfs: Path
    signer: Signer | None = None
    pcr_key: Path | None = None

    def build(self, target: Path, boot_loader: Path, progress: Progress) -> None:
        """Writes the UKI, and the systemd-boot that goes with it.

        Raises ImagerError when an input is missing.
        """
        files = self.profile.input
        with tempfile.TemporaryDirectory(prefix="talos-uki") as scratch:
            if self.signer is None:
                copy_file(files.sd_boot, boot_loader, progress)
            else:
                progress("signing systemd-boot")
                try:
                    self.signer.sign(Path(files.sd_boot), boot_loader)
                except ImagerError as error:
                    raise ImagerError(f"error signing sd-boot: {error}") from None
            progress("generating UKI sections")
            sbat = Path(scratch, "sbat")
            try:
                with open_input(files.sd_stub) as stub:
                    sbat.write_bytes(section_of(stub.read(), ".sbat"))
                sections = self._sections(Path(scratch))
                if self.pcr_key is not None:
                    sections = self._with_pcr_signatures(sections, sbat, self.pcr_key, Path(scratch))
            except ImagerError as error:
                raise ImagerError(f"error generating sections: {error}") from None
            progress("assembling UKI")
            unsigned = Path(scratch, "unsigned.uki")
            try:
                self._assemble(sections, sbat, unsigned)
            except ImagerError as error:
                raise ImagerError(f"error assembling UKI: {error}") from None
            if self.signer is None:
                copy_file(unsigned, target, progress)
            else:
                progress("signing UKI")
                self.signer.sign(unsigned, target)

    def _with_pcr_signatures(self, sections: list[Section], sbat: Path, key: Path, scratch: Path) -> list[Section]:
        """Puts a signature behind each profile: over what all have in common, and what the profile replaces of it."""
        for section in sections:
            require(section.file)
        starts = [number for number, section in enumerate(sections) if section.name == ".profile"]
        common = [Section(".sbat", sbat), *sections[: starts[0] if starts else None]]
        ends = [*starts[1:], len(sections)]
        signed = sections[: starts[0] if starts else None]
        for number, (start, end) in enumerate(zip(starts or [len(sections)], ends, strict=True)):
            own = sections[start:end]
            file = scratch / f"pcrsig-{number}"
            file.write_bytes(pcr_signature([(section.name, section.file) for section in [*common, *own]], key))
            signed += [*own, Section(".pcrsig", file)]
        return signed

    def _sections(self, scratch: Path) -> list[Section]:
        sections: list[Section] = []

        def add(name: str, contents: str | bytes) -> None:
            file = scratch / f"section-{len(sections)}"
            file.write_bytes(contents.encode() if isinstance(contents, str) else contents)
            sections.append(Section(name, file))

        add(".osrel", os_release(self.profile.name or "Talos", self.profile.version))
        add(".cmdline", self.cmdline)
        if uname := self._kernel_version():
            add(".uname", uname)
        add(".splash", splash())
        if self.pcr_key is not None:
            add(".pcrpkey", public_key(self.pcr_key))
        # The kernel stays unsigned within the signed whole, also in the real one.
        sections.append(Section(".linux", Path(self.profile.input.kernel)))
        sections.append(Section(".initrd", self.initramfs))
        if self.contract.quirks(self.profile.version).since(1, 10):
            add(".profile", "ID=main")
            match self.profile.output.kind:
                case OutputKind.ISO:
                    add(".profile", "ID=reset\nTITLE=Reset system disk")
                    add(".cmdline", f"{self.cmdline} talos.experimental.wipe=system")
                case OutputKind.IMAGE | OutputKind.INSTALLER:
                    add(".profile", "ID=reset-maintenance\nTITLE=Reset to maintenance mode")
                    add(".cmdline", f"{self.cmdline} talos.experimental.wipe=system:EPHEMERAL,STATE")
                case _:
                    pass
        return sections

    def _kernel_version(self) -> str:
        if self.profile.version == self.contract.tag:
            return self.contract.kernel_version
        return x86_kernel_version(Path(self.profile.input.kernel))

    def _assemble(self, sections: list[Section], sbat: Path, target: Path) -> None:
        for section in sections:
            require(section.file)
        epoch = source_date_epoch()
        with open_input(self.profile.input.sd_stub) as file:
            stub = file.read()
        with target.open("wb") as written:
            append_sections(
                stub, [*sections, Section(".sbat", sbat)], int(time.time()) if epoch is None else epoch, written
            )


def os_release(name: str, version: str) -> str:
    """Returns the `.osrel` text of a Talos version."""
    fields = {
        "NAME": f'"{name}"',
        "ID": name.replace(" ", "_").lower(),
        "VERSION_ID": version,
        "PRETTY_NAME": f'"{name} ({version})"',
        "HOME_URL": '"https://www.talos.dev/"',
        "BUG_REPORT_URL": '"https://github.com/siderolabs/talos/issues"',
        "VENDOR_NAME": '"Sidero Labs"',
        "VENDOR_URL": '"https://www.siderolabs.com/"',
    }
    return "".join(f"{key}={value}\n" for key, value in fields.items())


def x86_kernel_version(kernel: Path) -> str:
    """Returns the release that a bzImage names, an empty text for any other kernel (Linux x86 boot protocol)."""
    try:
        with kernel.open("rb") as file:
            header = file.read(1024)
            if header[0x202:0x206] != b"HdrS":
                return ""
            (offset,) = struct.unpack_from("<H", header, 0x20E)
            if offset == 0 or offset > header[0x1F1] * 0x200:
                return ""
            file.seek(offset + 0x200)
            text, zero, _ = file.read(256).partition(b"\0")
    except OSError:
        return ""
    return text.decode(errors="replace").partition(" ")[0] if zero else ""


def splash() -> bytes:
    """Returns the lab's boot picture: a bar on a plain ground, as an uncompressed BMP."""
    size = _SPLASH_WIDTH * _SPLASH_HEIGHT * 3
    header = struct.pack("<2sIHHI", b"BM", 54 + size, 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, _SPLASH_WIDTH, _SPLASH_HEIGHT, 1, 24, 0, size, 2835, 2835, 0, 0)
    ground, bar = _SPLASH_BACKGROUND * _SPLASH_WIDTH, _SPLASH_BAR * _SPLASH_WIDTH
    margin = _SPLASH_HEIGHT // 5 * 2
    return header + ground * margin + bar * (_SPLASH_HEIGHT - 2 * margin) + ground * margin
