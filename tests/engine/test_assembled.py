"""An initramfs that is put together from several imager runs, against that of one run with all extensions."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci.common.filenames import MODULES_IMAGE
from tests.engine.built import Initramfs
from tests.engine.conftest import COMMAND, UPSTREAM

if TYPE_CHECKING:
    from tests.engine.conftest import Call

#: CozyStack's own extensions, but for those that an architecture lacks.
BASE = {
    "arm64": ("bnx2-bnx2x", "intel-ice-firmware", "qlogic-firmware", "drbd", "zfs"),
    "amd64": (
        *("amd-ucode", "amdgpu", "bnx2-bnx2x", "intel-ice-firmware", "i915", "intel-ucode", "qlogic-firmware"),
        *("drbd", "zfs"),
    ),
}
#: Architecture, extensions that stay of CozyStack's, added ones.
LISTS = {
    "none": ("arm64", (), ()),
    "1, with firmware": ("arm64", ("qlogic-firmware",), ()),
    "2, with modules": ("arm64", ("drbd", "zfs"), ()),
    "3 with modules": ("amd64", ("amdgpu", "i915", "drbd"), ()),
    "7, of which 2 with modules": ("arm64", BASE["arm64"], ("youki", "crun")),
    "12, of which 4 with modules and 2 with microcode": ("amd64", BASE["amd64"], ("youki", "crun", "util-linux-tools")),
}
#: How Talos's own part of an initramfs begins, behind the microcode.
ZSTD = b"\x28\xb5\x2f\xfd"

#: Those that the older imager gets as well.
OLDER = tuple(LISTS)[-2:]
OLDER_CHECKOUT = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cozystack-talos/lab/checkouts/v1.11.3"
)


def reproduced(call: Call, *flags: str | Path) -> str:
    """Return the digest of the initramfs that both ways gave."""
    done = call(*flags, "reproduce", "--variant", "list", "--against", "imager", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["equal"] is True
    (digest,) = (file["sha256"] for file in found["files"] if file["path"] == "boot/initramfs.xz")
    return digest


def flags_of(name: str, folder: Path) -> tuple[str | Path, ...]:
    """Write the variant of a list, and return the flags to build it with."""
    arch, kept, added = LISTS[name]
    dropped = [f"{{name: {one}, reason: for tests}}" for one in BASE["amd64"] if one not in kept]
    lines = (
        *("description: for tests", "role: worker", "extensions:"),
        *(f"  add: [{', '.join(added)}]", f"  drop: [{', '.join(dropped)}]"),
    )
    (folder / "list.yaml").write_text("\n".join(lines) + "\n")
    return "--variants", folder, "--arch", arch


@pytest.mark.parametrize("name", LISTS)
def test_several_runs_add_up_to_one(name: str, call: Call, tmp_path: Path) -> None:
    reproduced(call, *flags_of(name, tmp_path))


@pytest.mark.parametrize("name", OLDER)
def test_several_runs_of_the_older_imager_add_up_to_one(name: str, call: Call, tmp_path: Path) -> None:
    if UPSTREAM or not COMMAND[0].endswith("daggerw"):
        pytest.skip("the lab has the older checkout")
    reproduced(call, *flags_of(name, tmp_path), "--upstream", OLDER_CHECKOUT)


def test_a_build_gives_the_initramfs_that_both_ways_give(call: Call, tmp_path: Path) -> None:
    name = "12, of which 4 with modules and 2 with microcode"
    flags = flags_of(name, tmp_path)
    out = tmp_path / "initramfs.xz"
    done = call(*flags, "initramfs", "--variant", "list", "export", "--path", out)
    assert done.returncode == 0, done.stderr
    data = out.read_bytes()
    assert hashlib.sha256(data).hexdigest() == reproduced(call, *flags)
    _, kept, added = LISTS[name]
    layers = [(layer["image"], layer["metadata"]["name"]) for layer in Initramfs.parse(data[data.index(ZSTD) :]).layers]
    numbered = [(f"{number}.sqsh", one) for number, one in enumerate([*kept, *added])]
    assert layers == [*sorted(numbered, key=lambda one: one[0].removesuffix(".sqsh")), (MODULES_IMAGE, "modules.dep")]
