"""What to do where an engine refuses a privileged run, or one fails."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dagger

from ci.common.errors import BuildError

if TYPE_CHECKING:
    from ci.plan.model import PlannedOutput


@dataclass(frozen=True)
class _Cause:
    """What a failed run shows, and what to say of it; `{ways_out}` and `{privileged}` are the output's."""

    sign: re.Pattern[str]
    hint: str


_CAUSES: Final = (
    _Cause(
        re.compile(r"failed to attach loopback device|/dev/loop-control|no free loop device|losetup"),
        "It ran privileged, because {privileged}. The engine's machine has no loop devices to give (as with rootless "
        "engines, and in some virtual machines): {ways_out}",
    ),
    _Cause(
        re.compile(r"unable to open /dev/loop\d+p\d+|/dev/loop\d+p\d+: no such file", re.IGNORECASE),
        "The partitions of its loop device did not appear in /sys/class/block: the engine's containers do not see the "
        "machine's own /sys, or its kernel adds no partitions to loop devices. To do without: {ways_out}",
    ),
    _Cause(
        re.compile(r"mounting partitions|failed to mount|unknown filesystem|fsopen|no such device", re.IGNORECASE),
        "It mounts the disk image's partitions, because {privileged}. The kernel of the engine's machine has to know "
        "vfat, and xfs where GRUB boots (`grep -w -e vfat -e xfs /proc/filesystems`, `modprobe vfat`). To do without: "
        "{ways_out}",
    ),
)


def unprivileged(error: dagger.QueryError, output: PlannedOutput) -> Exception:
    """Return an error of a privileged run with what can be done about it, any other error as it is."""
    if output.privileged is None:
        return error
    ways_out = f"build for a CozyStack release with Talos v1.13 or newer, or leave {output.name} out"
    if isinstance(error, dagger.ExecError):
        said = error.stderr.strip()
        hints = (cause.hint for cause in _CAUSES if cause.sign.search(said))
        hint = next(hints, "It ran privileged, because {privileged}. To do without: {ways_out}")
        return BuildError(
            f"{output.name}: the imager failed, with exit code {error.exit_code}: {said}\n"
            + hint.format(privileged=output.privileged, ways_out=ways_out)
        )
    if "security.insecure" not in str(error):
        return error
    return BuildError(
        f"{output.name}: the engine refuses privileged steps, and this output needs one, because {output.privileged}. "
        "Allow them in the engine's configuration (Dagger: security.insecureRootCapabilities in engine.json; BuildKit: "
        f"insecure-entitlements in buildkitd.toml), {ways_out}"
    )
