"""Texts that are kept of file systems: what containerd and modprobe read there."""

from __future__ import annotations

import re

#: Parts of containerd's configuration, and the kernel's lists of modules.
_KEPT = re.compile(
    r"etc/cri/conf\.d/[^/]+\.part|(?:usr/)?lib/modules/[^/]+/modules\.(?:dep|alias|builtin|builtin\.alias)"
)


def is_kept(path: str) -> bool:
    """Say whether the text of a file is kept."""
    return _KEPT.fullmatch(path) is not None
