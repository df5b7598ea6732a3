"""File systems that the real mkfs.xfs made, stored as their bytes that are not zeros.

`python -m tests.unit.inspect.xfs_samples` makes them anew; it needs xfsprogs (6.13 or newer), and root
for those that the kernel fills. A file of
`tests/unit/data/xfs` is an xz stream of the size (8 bytes) and of pieces: offset (8 bytes), length (4 bytes), bytes.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import random
import stat
import struct
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.inspect import sample_media, samples
from tests.unit.inspect.samples import File
from tests.unit.verify.assets import drbd, finished, good, spin, tailscale

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.unit.verify.assets import Spec

FOLDER = Path(__file__).parents[1] / "data" / "xfs"
MIB = 1 << 20
_PIECE = 512


def pieces(name: str) -> list[tuple[int, bytes]]:
    """Return what is not zeros, by its place."""
    data = lzma.decompress((FOLDER / f"{name}.xz").read_bytes())
    found: list[tuple[int, bytes]] = []
    position = 8
    while position < len(data):
        offset, length = struct.unpack_from(">QI", data, position)
        found.append((offset, data[position + 12 : position + 12 + length]))
        position += 12 + length
    return found


def sparse(name: str, out: Path, at: int = 0) -> Path:
    """Write a file system as a file with holes; `at` is where it begins in a file that may be there already."""
    data = lzma.decompress((FOLDER / f"{name}.xz").read_bytes())
    size = int(struct.unpack_from(">Q", data)[0])
    with out.open("r+b" if out.exists() else "w+b") as file:
        if file.seek(0, os.SEEK_END) < at + size:
            file.truncate(at + size)
        position = 8
        while position < len(data):
            offset, length = struct.unpack_from(">QI", data, position)
            file.seek(at + offset)
            file.write(data[position + 12 : position + 12 + length])
            position += 12 + length
    return out


def _pieces(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    yield struct.pack(">Q", size)
    with path.open("rb") as file:
        while True:
            try:
                start = os.lseek(file.fileno(), file.tell(), os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            for at in range(start, end, _PIECE):
                data = file.read(min(_PIECE, end - at))
                if data.strip(b"\0"):
                    yield struct.pack(">QI", at, len(data)) + data
            file.seek(end)


def content(name: str, size: int) -> bytes:
    """Return what a large file holds: zeros, and every 64 KiB its name and the place."""
    return b"".join(f"{name}@{at}\n".encode().ljust(min(1 << 16, size - at), b"\0") for at in range(0, size, 1 << 16))


Tree = dict[str, "bytes | str | Tree"]

#: Folders of each form: in the inode, in one block, in several with an index of one block, and of more than one.
NAMES: Tree = {
    "few": {"a": b"1", "b": b"22"},
    "empty": {},
    "some": {f"name-{number:03}-{'x' * (number % 40)}": f"{number}\n".encode() for number in range(60)},
    "more": {f"name-{number:05}": b"" for number in range(250)},
    "many": {f"name-{number:05}": b"" for number in range(1300)},
    "long": {"n" * 255: b"long", "é" * 100: "target/é", "far": "up/" * 300 + "x"},
    "deep": {"a": {"b": {"c": {"d": {"e": {"f": {"g": b"deep"}}}}}}},
    "holes": bytes(100_000),
}


def _prototype(tree: Tree, work: Path, indent: str = " ") -> Iterator[str]:
    for number, (name, value) in enumerate(tree.items()):
        if isinstance(value, dict):
            below = work / str(number)
            below.mkdir()
            yield f"{indent}{name} d--755 0 0"
            yield from _prototype(value, below, f"{indent} ")
            yield f"{indent}$"
        elif isinstance(value, str):
            yield f"{indent}{name} l--777 0 0 {value}"
        else:
            (work / str(number)).write_bytes(value)
            yield f"{indent}{name} ---644 7 8 {work / str(number)}"


def make(name: str, tree: Tree, size: int, options: Iterable[str] = (), commands: Iterable[str] = ()) -> None:
    """Make a file system with mkfs.xfs, change it with commands of xfs_db, and store it."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "files").mkdir()
        image, prototype = work / "image", work / "prototype"
        lines = ["/", "0 0", "d--755 0 0", *_prototype(tree, work / "files"), "$", ""]
        prototype.write_text("\n".join(lines))
        with image.open("wb") as file:
            file.truncate(size)
        uuid = "uuid=6f9d0a8e-1f3b-4f52-9a53-3d86ab3f6c11"
        words = ["mkfs.xfs", "-q", "-f", "-L", "BOOT", "-m", uuid, *options, "-p", str(prototype), str(image)]
        subprocess.run(words, check=True)
        for command in commands:
            subprocess.run(["xfs_db", "-x", "-c", command, str(image)], check=True)
            _without_log(image)
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{name}.xz").write_bytes(lzma.compress(b"".join(_pieces(image)), preset=9))
        print(name, (FOLDER / f"{name}.xz").stat().st_size)


def _without_log(image: Path) -> None:
    """Zero the log, which xfs_db fills and no test reads."""
    with image.open("r+b") as file:
        head = file.read(264)
        places = ((">I", 4), (">Q", 48), (">I", 96))
        block, start, blocks = (int(struct.unpack_from(form, head, at)[0]) for form, at in places)
        group, inside = divmod(start, 1 << head[124])
        file.seek((group * int(struct.unpack_from(">I", head, 84)[0]) + inside) * block)
        file.write(bytes(blocks * block))


def _mounted(name: str, options: Iterable[str], fill: Callable[[Path], None]) -> None:
    """Make a file system that the kernel fills, and store it with the kernel's own listing."""
    with tempfile.TemporaryDirectory() as folder:
        image, place = Path(folder) / "image", Path(folder) / "mnt"
        place.mkdir()
        with image.open("wb") as file:
            file.truncate(300 * MIB)
        subprocess.run(["mkfs.xfs", "-q", "-f", *options, str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
        try:
            fill(place)
            os.sync()
            listing = {str(path.relative_to(place)): _entry(path) for path in sorted(place.rglob("*"))}
        finally:
            subprocess.run(["umount", str(place)], check=True)
        _without_log(image)
        (FOLDER / f"{name}.json").write_text(json.dumps(listing, indent=0, ensure_ascii=False) + "\n")
        (FOLDER / f"{name}.xz").write_bytes(lzma.compress(b"".join(_pieces(image)), preset=9))
        print(name, (FOLDER / f"{name}.xz").stat().st_size)


def _entry(path: Path) -> list[int | str | None]:
    status = path.lstat()
    value: str | None = None
    if path.is_symlink():
        value = str(path.readlink())
    elif path.is_file():
        value = hashlib.sha256(path.read_bytes()).hexdigest()
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return [status.st_mode, status.st_uid, status.st_gid, int(status.st_mtime), size, value]


def _holes(path: Path, count: int, step: int) -> None:
    """Write a file of `count` steps, and take every second one out: what stays is an extent each."""
    path.write_bytes(b"".join(b"%d\n".ljust(step, b".") % number for number in range(count)))
    for number in range(0, count, 2):
        subprocess.run(["fallocate", "-p", "-o", str(number * step), "-l", str(step), str(path)], check=True)


def _fill(place: Path) -> None:
    block = os.statvfs(place).f_bsize
    _holes(place / "extents", 30, block)
    _holes(place / "tree", 200, block)
    _holes(place / "tree-of-two-levels", 3000, block)
    subprocess.run(["fallocate", "-l", "100000", str(place / "unwritten")], check=True)
    (place / "advance").write_bytes(b"short")
    subprocess.run(["fallocate", "--keep-size", "-l", "100000", str(place / "advance")], check=True)
    (place / "long-link").symlink_to("up/" * 330 + "x")
    (place / "link").symlink_to("extents")
    (place / "hard").hardlink_to(place / "extents")
    (place / "attributes").write_bytes(b"x")
    os.setxattr(place / "attributes", "user.note", b"n" * 60)
    os.mkfifo(place / "fifo")
    os.mknod(place / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.chown(place / "attributes", 70000, 80000)
    (place / "attributes").chmod(0o4755)
    os.utime(place / "attributes", (1, 5_000_000_000))
    os.utime(place / "unwritten", (1, -1_000_000_000))
    for name, count in (("gaps", 900), ("gaps-of-a-block", 20), ("emptied", 400)):
        (place / name).mkdir()
        for number in range(count):
            (place / name / f"file-{number:04}").touch()
        for number in range(count):
            if number % 3 or name == "emptied":
                (place / name / f"file-{number:04}").unlink()
        for number in range(0, count, 50):
            if name != "emptied":
                (place / name / f"a-longer-name-{number:04}").touch()


def board(spec: Spec) -> Tree:
    """Return what BOOT holds on a disk that starts with GRUB."""
    made = finished(spec)
    cmdline = samples.CMDLINE.replace("console=", "talos.board=\\{1\\} console=", 1)
    entries = [(f"A - Talos {spec.talos}", cmdline), ("Reset Talos installation", f"{cmdline} talos.reset=1")]
    menu = "set default=0\nset timeout=3\n" + "".join(
        f'\nmenuentry "{title}" {{\n  set gfxmode=auto\n  linux /A/vmlinuz {line}\n  initrd /A/initramfs.xz\n}}\n'
        for title, line in entries
    )
    files: Tree = {"vmlinuz": made.kernel, "initramfs.xz": made.initramfs}
    return {"A": files, "B": {}, "grub": {"grub.cfg": menu.encode()}}


def disk(path: Path, name: str, *, meta: bytes = b"") -> Path:
    """Write the disk of a board, with one of these file systems as its partition BOOT."""
    loader = File("EFI/boot/BOOTAA64.efi", samples.boot_loader())
    esp = sample_media.fat([loader, File("config.txt", b"kernel=u-boot.bin\n")], 12)
    size = int(struct.unpack_from(">Q", lzma.decompress((FOLDER / f"{name}.xz").read_bytes()))[0])
    parts = [(sample_media.ESP, "EFI", len(esp)), (sample_media.BIOS, "BIOS", MIB), (sample_media.LINUX, "BOOT", size)]
    start = sample_media.gpt_start([*parts, (sample_media.LINUX, "META", MIB)])
    boot = len(start) + len(esp) + MIB
    with path.open("wb") as file:
        file.write(start + esp + b"GRUB".ljust(MIB, b"\x90"))
        file.seek(boot + size)
        file.write(meta)
        file.truncate(boot + size + MIB + 34 * 512)
    return sparse(name, path, boot)


def main() -> None:
    """Make all of them."""
    # As Talos makes its partition BOOT: all settings are the program's.
    boot: Tree = {"A": {"vmlinuz": b"kernel", "initramfs.xz": b"initramfs"}, "B": {}, "grub": {"grub.cfg": b"menu"}}
    make("boot", boot, 1000 * MIB)
    for name, more in (("boot-worker", []), ("boot-router", [tailscale()])):
        make(name, board(replace(good(), extensions=[spin(), *more, drbd()])), 300 * MIB)
    make("names", NAMES, 300 * MIB)
    make("names-1k", NAMES, 300 * MIB, ["-b", "size=1024", "-n", "size=8192"])
    make("names-new", NAMES, 300 * MIB, ["-i", "size=1024,nrext64=1,exchange=1", "-n", "parent=1"])
    make("old-times", {"a": b"x"}, 300 * MIB, ["-m", "bigtime=0,reflink=0,rmapbt=0,finobt=0", "-i", "sparse=0"])
    make("changed-uuid", {"a": b"x", "b": {f"{n:02}": b"" for n in range(60)}}, 300 * MIB, commands=["uuid generate"])
    make("version-4", {"a": b"x"}, 300 * MIB, ["-m", "crc=0"])
    # A file that goes through more groups than an inode has room for extents.
    os.environ |= {"TEST_DIR": "1", "TEST_DEV": "1", "QA_CHECK_FS": "1"}  # mkfs.xfs then lets groups be small
    large: Tree = {"large": content("large", 440 * MIB), "small": random.Random(1).randbytes(5000)}
    make("large", large, 560 * MIB, ["-d", "agsize=16m", "-l", "size=13m"])
    if os.geteuid() == 0:
        _mounted("kernel", ["-b", "size=1024"], _fill)
        _mounted("kernel-4k", ["-i", "size=1024", "-n", "size=16384"], _fill)


if __name__ == "__main__":
    sys.exit(main())
