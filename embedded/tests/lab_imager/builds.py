"""Builds outputs of tiny inputs, for what no record shows by itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from embedded.tests.lab_imager.goldens import ENVIRONMENT
from embedded.tests.lab_imager.readers import EMPTY_FRAME
from embedded.tests.lab_imager.runners import NOBODY
from embedded.tests.lab_imager.tars import File, tar_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from embedded.tests.lab_imager.runners import Result, RootRunner

DISK = "image\n  imageOptions: {diskSize: 1306525696, diskFormat: raw%s}"
MIB = 1 << 20


def run_profile(
    root: RootRunner,
    case: str,
    *,
    arch: str = "arm64",
    kind: str,
    inputs: str = "",
    more: str = "",
    version: str = "v1.13.6",
    uid: int = NOBODY,
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Runs a profile on a kernel of a few bytes and an empty initramfs.

    `kind` may go on with further lines of `output`; `inputs` are lines of `input`, `more` are lines of the profile.
    """
    folder = root.lab / "in" / case
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "base").write_bytes(EMPTY_FRAME)
    (folder / "kernel").write_bytes(b"MZ kernel")
    profile = f"arch: {arch}\nplatform: metal\nversion: {version}\n{more}input:\n"
    profile += f"  kernel: {{path: LAB/in/{case}/kernel}}\n  initramfs: {{path: LAB/in/{case}/base}}\n{inputs}"
    profile += f"output:\n  kind: {kind}\n  outFormat: raw\n"
    return root.run(case, profile, version, environment={**ENVIRONMENT, **(environment or {})}, uid=uid)


def build(root: RootRunner, case: str, **given: str | int | Mapping[str, str]) -> Path:
    """Runs a profile that must succeed and returns its output."""
    result = run_profile(root, case, **given)  # type: ignore[arg-type]
    assert result.exit_code == 0, result.stderr
    return result.file


def write_tar(root: RootRunner, case: str, name: str, files: Iterable[File]) -> str:
    """Writes a tar file for a profile and returns its path there."""
    path = root.lab / "in" / case / f"{name}.tar"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar_bytes(list(files)))
    return f"LAB/in/{case}/{name}.tar"


def extents(disk: Path, start: int, size: int) -> Iterable[tuple[int, bytes]]:
    """Yields what a sparse file holds of a stretch: offset in the stretch, and bytes."""
    with disk.open("rb") as file:
        position = start
        while position < start + size:
            try:
                data = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:
                return
            position = min(os.lseek(file.fileno(), data, os.SEEK_HOLE), start + size)
            if data < position:
                yield data - start, os.pread(file.fileno(), position - data, data)


def cut_out(disk: Path, start: int, size: int, target: Path) -> Path:
    """Copies a partition to a file of its own."""
    with target.open("wb") as file:
        file.truncate(size)
        for offset, data in extents(disk, start, size):
            file.seek(offset)
            file.write(data)
    return target


def partitions(root: RootRunner, inside: str) -> list[dict[str, str | int]]:
    """Returns a disk's partitions as sfdisk tells them."""
    import json

    return json.loads(root.tool("sfdisk", "--json", inside))["partitiontable"]["partitions"]


def texts(root: RootRunner, image: str, names: Mapping[str, str]) -> dict[str, str]:
    """Returns texts of a FAT file system (`FILE` or `FILE@@OFFSET`): key → path."""
    return {key: root.tool("mtype", "-i", image, f"::{path}") for key, path in names.items()}
