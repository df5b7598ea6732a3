"""CozyStack's netboot image: Matchbox, what it serves, and the profiles by which machines ask for it.

Upstream's profiles hold kernel arguments for amd64, as text. The arguments here are those that the imager gives for the
architecture, so only what they can't know is kept of upstream's: `initrd=`, by which an EFI kernel finds its initramfs,
and `talos.` settings that the imager has no value for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from ci.common import pins
from ci.common.errors import UpstreamError
from ci.common.references import parse_reference
from ci.resolve.model import Need

if TYPE_CHECKING:
    from ci.load.upstream import Matchbox, Upstream

#: The use under which the image is looked up, in addition to those of `ImageUse`.
USE: Final = "matchbox"

ROOT: Final = "var/lib/matchbox"
KERNEL: Final = f"{ROOT}/assets/vmlinuz"
INITRAMFS: Final = f"{ROOT}/assets/initramfs.xz"


def need(upstream: Upstream) -> Need:
    """Return the base image to look up: upstream's, or where the checkout names none, the pinned one."""
    return Need(USE, (_of(upstream).base or parse_reference(pins.MATCHBOX),))


def _of(upstream: Upstream) -> Matchbox:
    found = upstream.matchbox
    if found is None or not found.profiles:
        folder = f"{upstream.layout}/images/matchbox"
        raise UpstreamError(folder, None, "no profiles: this checkout has nothing to make a netboot image of")
    return found


def files(upstream: Upstream, cmdline: str) -> dict[str, str]:
    """Return the groups and profiles by their paths in the image, the profiles with the imager's kernel arguments."""
    matchbox = _of(upstream)
    found = {f"{ROOT}/groups/{name}": text for name, text in matchbox.groups.items()}
    for name, text in matchbox.profiles.items():
        found[f"{ROOT}/profiles/{name}"] = with_arguments(text, cmdline.split(), f"{upstream.layout}/…/profiles/{name}")
    return found


def with_arguments(profile: str, arguments: list[str], file: str) -> str:
    """Return a profile with other kernel arguments; one that boots nothing stays as it is."""
    document: dict[str, Any] = json.loads(profile)
    if "boot" not in document:
        return profile
    boot = cast("dict[str, Any]", document["boot"])
    try:
        theirs = [str(argument) for argument in boot.get("args", [])]
    except (AttributeError, TypeError):
        raise UpstreamError(file, None, "boot is no object with a list `args`") from None
    set_here = {_key(argument) for argument in arguments}
    kept = [argument for argument in theirs if _kept(argument, set_here)]
    return json.dumps({**document, "boot": {**boot, "args": [*kept, *arguments]}}, indent=2) + "\n"


def _key(argument: str) -> str:
    return argument.split("=", 1)[0]


def _kept(argument: str, set_here: set[str]) -> bool:
    key = _key(argument)
    return key == "initrd" or (key.startswith("talos.") and key not in set_here)
