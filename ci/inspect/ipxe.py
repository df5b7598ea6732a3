"""Scripts of iPXE: the kernel that they boot, its arguments, and what is loaded behind it."""

from __future__ import annotations

import re
from typing import Final

from ci.inspect.models import CmdlineFacts

_FIRST: Final = "#!ipxe"
_KERNEL: Final = re.compile(
    r"^(?:kernel|chain|boot)[ \t]+(?:--name[ \t]+\S+[ \t]+)?(\S+)(?:[ \t]+(\S.*))?$", re.MULTILINE
)
_INITRD: Final = re.compile(r"^(?:initrd|module)[ \t]+(?:--name[ \t]+\S+[ \t]+)?(\S+)", re.MULTILINE)


def read_script(text: str) -> CmdlineFacts | None:
    """Return what a script boots, `None` where a text is no script, or boots no kernel of Talos's."""
    if not text.startswith(_FIRST):
        return None
    for found in _KERNEL.finditer(text.replace("\r\n", "\n")):
        line = (found[2] or "").strip()
        if "talos.platform=" in line:
            return CmdlineFacts(cmdline=line, boots=(found[1], *_INITRD.findall(text)))
    return None
