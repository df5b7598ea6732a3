"""Scripts of iPXE that boot a kernel and an initramfs from a web server, with the imager's arguments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ci.steps.normalise.files import NormaliseError, written

if TYPE_CHECKING:
    from pathlib import Path

#: A line of arguments that iPXE hands on as it is: it would take `${` for a setting, and `#` and `&&` for its own.
_LINE: Final = re.compile(r"[\x21-\x7e]+( [\x21-\x7e]+)*")
_OWN: Final = re.compile(r"\$\{|(^| )(#|&&|\|\|)( |$)|[\"'\\]")
_LONGEST: Final = 1 << 16


def write_script(cmdline: Path, out: Path, kernel: str, initramfs: str) -> None:
    """Write the script; the arguments are those in the file `cmdline`.

    UEFI programs find an initramfs by the argument `initrd=` with its name; on BIOS machines iPXE passes over it.
    """
    if cmdline.stat().st_size > _LONGEST:
        raise NormaliseError(str(cmdline), f"more than {_LONGEST} bytes, no command line")
    line = cmdline.read_text(encoding="utf-8", errors="replace").strip()
    if not _LINE.fullmatch(line) or _OWN.search(line):
        raise NormaliseError(str(cmdline), f"iPXE would not hand on these arguments as they are: {line[:200]!r}")
    name = initramfs.rpartition("/")[2]
    script = f"#!ipxe\nimgfree\nkernel {kernel} initrd={name} {line}\ninitrd {initramfs}\nboot\n"
    with written(out) as file:
        file.write(script.encode("ascii"))
