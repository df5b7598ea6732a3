"""PE files: boot loaders, EFI stubs, kernels with an EFI stub, unified kernel images (UAPI group's specification)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci.inspect.errors import CorruptFileError, LimitExceededError
from ci.inspect.kernel import inspect_kernel, is_arm64_image, is_bzimage, is_zboot
from ci.inspect.limits import MIB
from ci.inspect.models import EfiFacts, KernelFacts, SectionFacts, UkiFacts

if TYPE_CHECKING:
    from ci.inspect.context import Context
    from ci.inspect.source import Source

#: More than any header; what pefile asks for beyond is an absurd size in one.
_LARGEST_READ = 1 * MIB

_MACHINES = {0xAA64: "arm64", 0x8664: "amd64", 0x14C: "386", 0x1C0: "arm", 0x1C2: "arm", 0x5064: "riscv64"}


class _Lazy:
    """A source in the shape of the bytes that pefile slices: it sees all of the file and reads only its headers."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __len__(self) -> int:
        return self._source.size

    def __getitem__(self, key: slice | int) -> bytes | int:
        if isinstance(key, int):
            return self._source.read_at(key, 1, "the PE header")[0]
        start, stop, _ = key.indices(self._source.size)
        if stop - start > _LARGEST_READ:
            raise CorruptFileError(self._source.name, "PE header", f"headers of {stop - start} bytes")
        return self._source.read_up_to(start, stop - start)


@dataclass(frozen=True)
class Pe:
    """Machine and sections of a PE file."""

    machine: str
    #: Sections with their content, in the file's order; a unified kernel image may have several of a name.
    sections: tuple[tuple[str, Source, int], ...]

    def first(self, name: str) -> Source | None:
        """Return the first section of that name: of a UKI with profiles, the one that is common to all."""
        return next((window for section, window, _ in self.sections if section == name), None)


def open_pe(source: Source) -> Any:
    """Return pefile's view of a PE file's headers."""
    # A sixth of a second to import, which most calls need not wait for.
    import pefile  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]

    try:
        return pefile.PE(data=_Lazy(source), fast_load=True)
    except (pefile.PEFormatError, struct.error, AttributeError, IndexError, ValueError, TypeError) as error:
        raise CorruptFileError(source.name, "PE header", f"no valid PE file: {error}") from error


def read_pe(source: Source, context: Context) -> Pe:
    """Return machine and sections of a PE file; every section must lie within the file."""
    headers = open_pe(source)
    count = int(headers.FILE_HEADER.NumberOfSections)
    if count > context.limits.sections:
        raise LimitExceededError(source.name, "PE header", f"{count} sections (limit {context.limits.sections})")
    if count != len(headers.sections):
        raise CorruptFileError(source.name, "PE header", f"{count} sections claimed, {len(headers.sections)} found")
    sections: list[tuple[str, Source, int]] = []
    for section in headers.sections:
        name = bytes(section.Name).rstrip(b"\0").decode("ascii", "replace")
        offset, raw = int(section.PointerToRawData), int(section.SizeOfRawData)
        # Raw data is padded to the file's alignment; the virtual size is the content's own.
        size = min(raw, int(section.Misc_VirtualSize)) if section.Misc_VirtualSize else raw
        window = source.window(f"{source.name}:{name}", offset if size else 0, size)
        sections.append((name, window, offset))
    machine = int(headers.FILE_HEADER.Machine)
    return Pe(_MACHINES.get(machine, f"{machine:#06x}"), tuple(sections))


def _text(pe: Pe, name: str, context: Context) -> str | None:
    window = pe.first(name)
    return None if window is None else _decode(window, context)


def _decode(window: Source, context: Context) -> str:
    if window.size > context.limits.text:
        raise LimitExceededError(window.name, "", f"a text of {window.size} bytes (limit {context.limits.text})")
    return window.read_at(0, window.size, "a section").decode("utf-8", "replace").rstrip("\0\n")


def parse_os_release(text: str) -> dict[str, str]:
    """Return the fields of an os-release text, quotes taken off."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            fields[key.strip()] = value.strip().strip("\"'")
    return fields


def inspect_pe(source: Source, context: Context) -> tuple[KernelFacts | UkiFacts | EfiFacts, list[tuple[str, Source]]]:
    """Return what a PE file is, and of a UKI the sections that are files of their own (`.linux`, `.initrd`)."""
    head = source.read_up_to(0, 1024)
    if is_arm64_image(head) or is_zboot(head) or is_bzimage(head):
        try:
            machine = read_pe(source, context).machine
        except CorruptFileError:
            machine = None  # A kernel without an EFI stub: the first bytes are code.
        return inspect_kernel(source, machine, context), []
    pe = read_pe(source, context)
    sections = tuple(
        SectionFacts(name=name, offset=offset, size=window.size, sha256=window.sha256())
        for name, window, offset in pe.sections
    )
    linux, initrd = pe.first(".linux"), pe.first(".initrd")
    if linux is None and initrd is None:
        return EfiFacts(machine=pe.machine, sections=sections, sbat=_text(pe, ".sbat", context)), []
    digests = {section.name: section.sha256 for section in reversed(sections)}
    cmdlines = [_decode(window, context) for name, window, _ in pe.sections if name == ".cmdline"]
    facts = UkiFacts(
        machine=pe.machine,
        sections=sections,
        cmdline=cmdlines[0] if cmdlines else None,
        more_cmdlines=tuple(cmdlines[1:]),
        uname=_text(pe, ".uname", context),
        osrel=parse_os_release(_text(pe, ".osrel", context) or ""),
        kernel_sha256=digests.get(".linux"),
        initramfs_sha256=digests.get(".initrd"),
    )
    return facts, [(name, window) for name, window in ((".linux", linux), (".initrd", initrd)) if window is not None]
