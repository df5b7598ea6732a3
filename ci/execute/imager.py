"""The imager as a container: Talos's own image and program, with a clock that stands still.

Some of its runs find another program first in PATH than the imager's own, and what is built has the same bytes:

- `zstd` where extensions are packed. The imager has its own go over them at level 18; they are squashfs images,
  compressed already, and what comes out is compressed anew after it (`ci.steps.normalise`): half of the run's time for
  nothing. An imager that calls no `zstd` does not notice it.
- `xz` where a disk image is made. It is packed after the run, on all cores and so that all its formats share one run
  (`ci.steps.normalise`). But the imager writes its zeros out, gigabytes that the engine's cache would keep: this is
  the one place between them and the end of the run, and they become holes here.
- `mkfs.vfat` where a disk image is made through a loop device (`ci.execute.loop_devices`).

The imager's image has no shell, so one is mounted as a separate file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dagger import dag

from ci.common import pins

if TYPE_CHECKING:
    import dagger

    from ci.plan.model import Plan

#: Where the programs are that come first in PATH, where it may be more than once.
FOLDER: Final = "/before"
BUSYBOX: Final = f"{FOLDER}/busybox"
#: `zstd` takes the last level that it is given.
ZSTD: Final = f"""\
#!{BUSYBOX} sh
echo "zstd at level 1: what it writes is compressed anew after this run" >&2
PATH=${{PATH#*:}} exec zstd "$@" -1
"""
#: `xz` gets the file as its last argument, and replaces it. Any other use, by an overlay say, goes to the imager's own:
#: `which` finds that, where the shell would take the `xz` in itself. qemu-img is there for other clouds' disk formats.
XZ: Final = f"""\
#!{BUSYBOX} sh
set -e
for image; do :; done
case "$image" in *.raw) ;; *) exec "$(PATH=${{PATH##*{FOLDER}:}} {BUSYBOX} which xz)" "$@" ;; esac
if command -v qemu-img >/dev/null; then
    echo "no xz: the image is packed after this run; its zeros become holes" >&2
    qemu-img convert -f raw -O raw -S 4k "$image" "$image.holes"
    {BUSYBOX} mv "$image.holes" "$image"
else
    echo "no xz: the image is packed after this run; its zeros stay, for the imager's image has no qemu-img" >&2
fi
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


def with_fast_zstd(container: dagger.Container) -> dagger.Container:
    """Return an imager that does not compress at length what is compressed anew after it."""
    return with_before(container, "zstd", ZSTD)


def with_sparse_disks(container: dagger.Container) -> dagger.Container:
    """Return an imager that leaves a disk image unpacked where it is to pack it with xz, with holes for its zeros."""
    return with_before(container, "xz", XZ)


def with_before(container: dagger.Container, program: str, script: str) -> dagger.Container:
    """Return an imager that finds a script first when it looks for a program."""
    busybox = dag.container().from_(pins.BUSYBOX).file("/bin/busybox")
    return (
        container.with_file(BUSYBOX, busybox)
        .with_new_file(f"{FOLDER}/{program}", script, permissions=0o755)
        .with_env_variable("PATH", f"{FOLDER}:$PATH:{_PATH}", expand=True)
    )
