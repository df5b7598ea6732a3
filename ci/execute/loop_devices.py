"""Disk images through loop devices, as the imager of Talos before v1.13 makes them: their nodes, turns, and ends.

Such a run is privileged, and what it does there is the machine's business: a loop device is the kernel's, not the
container's. So three things are done around it.

- *Nodes.* The kernel adds a partition's node to the machine's own `/dev`, and not to the container's, where the imager
  looks for it: `mkfs.vfat: unable to open /dev/loop0p1`. It formats the partitions as soon as they are there, the one
  with FAT first: the `mkfs.vfat` that stands before its own in PATH makes the nodes.
- *Turns.* Runs that use loop devices wait for each other: they share a cache volume that one of them has at a time.
- *Ends.* The imager detaches its loop device at its end. One that is killed can't, and the device keeps its file, of
  gigabytes: what a run has left is detached after it, and what a killed run has left is detached by the next one.
"""

from __future__ import annotations

from typing import Final

import dagger
from dagger import dag

from ci.execute.imager import BUSYBOX, FOLDER, with_before

#: The cache volume, by which runs take turns: it has the list of what was attached when the present run began.
_TURNS: Final = "/turns"

MKFS_VFAT: Final = f"""\
#!{BUSYBOX} sh
for partition in /sys/class/block/loop*p*; do
    # One that is gone by now is another program's.
    read -r number 2>/dev/null <"$partition/dev" || continue
    {BUSYBOX} rm -f "/dev/${{partition##*/}}"
    {BUSYBOX} mknod -m 600 "/dev/${{partition##*/}}" b "${{number%:*}}" "${{number#*:}}" || exit
done
own=$(PATH=${{PATH##*{FOLDER}:}} {BUSYBOX} which mkfs.vfat) || {{
    echo "the imager's image has no mkfs.vfat" >&2
    exit 127
}}
exec "$own" "$@"
"""

#: Called with the imager's own entry point and arguments. A loop device counts as a run's where it was not attached
#: before that run, and its file is in the folder that the imager writes to; `diskseq` is another one each time.
IN_TURN: Final = f"""\
#!{BUSYBOX} sh
line_feed='
'
attached() {{
    for loop in /sys/block/loop*; do
        read -r file 2>/dev/null <"$loop/loop/backing_file" || continue
        number=
        read -r number 2>/dev/null <"$loop/diskseq"
        echo "${{loop##*/}} ${{number:--}} $file"
    done
}}
detach_since() {{
    attached | while read -r loop number file; do
        case "$line_feed$1$line_feed" in *"$line_feed$loop $number $file$line_feed"*) continue ;; esac
        case "$file" in /out/*) ;; *) continue ;; esac
        echo "detaching /dev/$loop, which $2 left attached" >&2
        {BUSYBOX} losetup -d "/dev/$loop"
    done
}}
boot=unknown
read -r boot </proc/sys/kernel/random/boot_id
running={_TURNS}/$boot
if [ -e "$running" ]; then
    detach_since "$({BUSYBOX} cat "$running")" "an interrupted run"
fi
{BUSYBOX} rm -f {_TURNS}/*
before=$(attached)
echo "$before" >"$running"
"$@"
code=$?
detach_since "$before" "this run"
{BUSYBOX} rm -f "$running"
exit $code
"""


async def with_loop_devices(container: dagger.Container) -> dagger.Container:
    """Return an imager that finds its partitions' nodes, waits for its turn, and leaves no loop device attached."""
    entrypoint = await container.entrypoint()
    script = f"{FOLDER}/in-turn"
    return (
        with_before(container, "mkfs.vfat", MKFS_VFAT)
        .with_new_file(script, IN_TURN, permissions=0o755)
        .with_mounted_cache(
            _TURNS, dag.cache_volume("cozystack-talos-loop-devices"), sharing=dagger.CacheSharingMode.LOCKED
        )
        .with_entrypoint([script, *entrypoint])
    )
