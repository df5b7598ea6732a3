"""What stands before the imager's own programs in PATH, in the imager's own image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.common import pins
from ci.execute.imager import XZ

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.conftest import Call

IMAGER = "ghcr.io/siderolabs/imager:v1.13.6"
SIZE = 64 << 20

#: Makes a disk image, which is whole sectors, of zeros but for its end; prints its blocks and digest before and after.
SCRIPT = f"""
set -e
busybox=/before/busybox
$busybox mkdir -p /out
image=/out/metal-arm64.raw
$busybox head -c {SIZE} /dev/zero > $image
$busybox head -c 508 /dev/zero >> $image
echo end >> $image
say() {{ echo $($busybox stat -c %b $image) $($busybox sha256sum $image); }}
say
/before/xz -0 -f -T 0 $image
say
$busybox ls /out
echo text > /text
PATH=/before:$PATH /before/xz -9 -k /text
$busybox xz -d -c /text.xz
"""


def test_a_disk_images_zeros_become_holes(core: Call, tmp_path: Path) -> None:
    busybox, script = tmp_path / "busybox", tmp_path / "script"
    done = core(
        "container", "from", "--address", pins.BUSYBOX, "file", "--path", "/bin/busybox", "export", "--path", busybox
    )
    assert done.returncode == 0, done.stderr
    script.write_text(SCRIPT)
    done = core(
        *("container", "from", "--address", IMAGER, "with-file", "--path", "/before/busybox", "--source", busybox),
        *("with-new-file", "--path", "/before/xz", "--contents", XZ, "--permissions", "0755"),
        *("with-file", "--path", "/script", "--source", script),
        *("with-exec", "--args", "/before/busybox,sh,/script", "stdout"),
    )
    assert done.returncode == 0, done.stderr
    before, after, *rest = done.stdout.splitlines()
    # What else is packed with xz is packed: busybox's own can't.
    assert rest == ["metal-arm64.raw", "text"]
    assert before.split()[1:] == after.split()[1:]
    assert int(before.split()[0]) >= SIZE // 512
    assert int(after.split()[0]) <= 64
