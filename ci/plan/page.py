"""`python -m ci.plan.page FILE`: write the tables of docs/outputs.md from the rows of platforms and forms."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ci.common.arch import Arch
from ci.common.errors import UserError
from ci.common.platforms import PLATFORMS, BootMethod, Platform
from ci.plan.outputs import FORMS, Compression, DiskFormat, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.plan.outputs import Form

BEGIN: Final = "<!-- Written by `python -m ci.plan.page docs/outputs.md` from the rows: change them there. -->\n"
END: Final = "<!-- End of what is written. -->\n"

_METHODS: Final = {BootMethod.DISK: "disk image", BootMethod.ISO: "ISO", BootMethod.PXE: "network"}
_MADE: Final = {
    DiskFormat.RAW: "the disk as it is",
    DiskFormat.QCOW2: "qcow2, version 3",
    DiskFormat.COMPRESSED_QCOW2: "qcow2 with compressed clusters",
    DiskFormat.VHD: "VHD of a fixed size, whole MiB",
    DiskFormat.VMDK: "VMDK, streamOptimized",
    DiskFormat.OVA: "OVA: a virtual machine with a VMDK",
}
_PACKED: Final = {
    Compression.NONE: "",
    Compression.XZ: ", packed with xz",
    Compression.ZSTD: ", packed with zstd",
    Compression.GZIP: ", packed with gzip",
    Compression.TAR: ", as `disk.raw` in a tar of GNU's format, packed with gzip",
}


def render() -> str:
    """Return the tables, with the lines that they stand between."""
    return "".join((BEGIN, "\n", *_platforms(), "\n", *_forms(), "\n", END))


def written(page: str) -> str:
    """Return a page with its tables written anew; raises `UserError` where it has no place for them."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise UserError(
            f"the page has no place for the tables: it needs the lines {BEGIN.strip()!r} and {END.strip()!r}"
        )
    head, _, rest = page.partition(BEGIN)
    return head + render() + rest.partition(END)[2]


def _platforms() -> Iterator[str]:
    yield "| platform | | arm64 | amd64 | boots from | without a form | disk | first Talos |\n"
    yield f"|{'---|' * 8}\n"
    for platform in PLATFORMS.values():
        cells = (
            f"`{platform.name}`",
            platform.title,
            *(_architecture(platform, arch) for arch in (Arch.ARM64, Arch.AMD64)),
            ", ".join(_METHODS[method] for method in platform.boots),
            f"`{platform.main_form}`",
            _size(platform),
            f"v{platform.since[0]}.{platform.since[1]}" if platform.since else "",
        )
        yield f"| {' | '.join(cells)} |\n"


def _architecture(platform: Platform, arch: Arch) -> str:
    if arch in platform.arches:
        since = platform.arm64_since if arch is Arch.ARM64 else None
        return f"from v{since[0]}.{since[1]} on" if since else "yes"
    return "with a note" if platform.also_arm64 else "no"


def _size(platform: Platform) -> str:
    if BootMethod.DISK not in platform.boots:
        return ""
    return size_of(platform.disk_size) if platform.disk_size else "as CozyStack's"


def _forms() -> Iterator[str]:
    yield "| form | what it is | read back | booted by `boot --from` |\n|---|---|---|---|\n"
    for form in FORMS.values():
        yield f"| `{form.name}` | {_MADE[form.format]}{_PACKED[form.compression]} | yes | {_booted(form)} |\n"
    for name, what, booted in (
        ("iso", "ISO image with the platform's kernel arguments", "as a CD"),
        ("uki", "unified kernel image with them", "by the firmware"),
        ("cmdline", "the arguments, one line of text", "no"),
        ("ipxe", "script of iPXE that boots kernel and initramfs from a web server with them", "no"),
        ("installer", "installer image that has them: upgrades of machines on the platform need it", "no"),
    ):
        yield f"| `{name}` | {what} | yes | {booted} |\n"


def _booted(form: Form) -> str:
    """Return how QEMU gets the disk (`ci.boot.media`)."""
    if form.format is DiskFormat.OVA or form.compression is Compression.TAR:
        return "the disk taken out of it"
    return "unpacked" if form.compression is not Compression.NONE else "as it is"


def main(argv: list[str] | None = None) -> int:
    """Write the tables into the page that is named, or print them."""
    names = sys.argv[1:] if argv is None else argv
    for path in map(Path, names):
        path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
    if not names:
        print(render(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
