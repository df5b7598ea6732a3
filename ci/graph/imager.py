"""The imager as a container: Talos's own image and program, with a clock that stands still.

The run that packs extensions gets another `zstd` first in PATH. The imager has its own go over the extensions at level
18; they are squashfs images, compressed already, and what comes out is compressed anew after it (`ci.normalise`): half
of the run's time for nothing. What is built has the same bytes with it and without, and an imager that calls no `zstd`
does not notice it. The imager's image has no shell, so one comes along, in a file of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dagger import dag

from ci import pins

if TYPE_CHECKING:
    import dagger

    from ci.plan import Plan

_FOLDER: Final = "/before"
#: `zstd` takes the last level that it is given.
ZSTD: Final = f"""\
#!{_FOLDER}/sh
echo "zstd at level 1: what it writes is compressed anew after this run" >&2
PATH=${{PATH#*:}} exec zstd "$@" -1
"""
#: What programs are looked for in where an image does not say, which it is not worth asking for.
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def imager(plan: Plan, attempt: str | None = None) -> dagger.Container:
    """Return the imager of a plan; with an `attempt`, a text, other attempts' runs are not taken for its own."""
    container = (
        dag.container()
        .from_(plan.imager.pinned)
        .with_env_variable("SOURCE_DATE_EPOCH", str(plan.source_date.epoch))
        .with_env_variable("TZ", "UTC")
    )
    # A variable that the imager does not know makes its runs others than those in the cache.
    return container.with_env_variable("COZYSTACK_TALOS_ATTEMPT", attempt) if attempt else container


def hurried(container: dagger.Container) -> dagger.Container:
    """Return an imager that does not compress at length what is compressed anew after it."""
    shell = dag.container().from_(pins.BUSYBOX).file("/bin/busybox")
    return (
        container.with_file(f"{_FOLDER}/sh", shell)
        .with_new_file(f"{_FOLDER}/zstd", ZSTD, permissions=0o755)
        .with_env_variable("PATH", f"{_FOLDER}:$PATH:{_PATH}", expand=True)
    )
