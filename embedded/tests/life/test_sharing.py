"""Files that are the same get one place on the disk, and nothing else changes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from pathlib import Path

import pytest

from embedded.engine.life.config import SUPERSEDED
from embedded.engine.life.sharing import LEAST, share

CONTENT = b"content" * (LEAST // 4)
TIME = 1_790_000_000_123_456_789


class Cache:
    """A cache of BuildKit, and a lab."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.buildkit, self.lab = folder / "buildkit", folder / "lab"

    def file(self, snapshot: int, name: str, content: bytes = CONTENT, when: int = TIME, mode: int = 0o644) -> Path:
        return self._written(
            self.buildkit / f"runc-overlayfs/snapshots/snapshots/{snapshot}/fs/{name}", content, when, mode
        )

    def blob(self, content: bytes = CONTENT) -> tuple[Path, Path]:
        name = hashlib.sha256(content).hexdigest()
        places = (self.buildkit / "runc-overlayfs/content/blobs/sha256", self.lab / "registry/sha256")
        one, other = (self._written(place / name, content, TIME, 0o444) for place in places)
        return one, other

    def _written(self, path: Path, content: bytes, when: int, mode: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        os.utime(path, ns=(when, when))
        return path

    def share(self, seconds: float = 60) -> int:
        return share(self.buildkit, self.lab, self.folder / "aside", seconds)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


def one(*paths: Path) -> bool:
    return len({(path.stat().st_dev, path.stat().st_ino) for path in paths}) == 1


def test_copies_of_a_result_are_one_file(cache: Cache) -> None:
    made, sealed = cache.file(7, "out/initramfs.xz"), cache.file(10, "assets/talos/arm64/boot/initramfs.xz")
    archive, copied = cache.file(8, "out/spin.tar", CONTENT + b"1"), cache.file(9, "spin.tar", CONTENT + b"1")
    size = made.stat().st_blocks * 512
    assert size <= cache.share() - size <= size + 4096 * 2
    assert one(made, sealed)
    assert one(archive, copied)
    assert not one(made, archive)
    assert [path.read_bytes() for path in (sealed, copied)] == [CONTENT, CONTENT + b"1"]
    status = sealed.stat()
    assert (status.st_mtime_ns, status.st_mode & 0o777) == (TIME, 0o644)
    assert cache.share() == 0
    assert not (cache.folder / "aside").exists()


@pytest.mark.parametrize(
    ("snapshot", "name", "change"),
    [
        (8, "out/b", {"content": CONTENT[:-1] + b"x"}),
        (8, "out/b", {"when": TIME + 1}),
        (8, "out/b", {"mode": 0o755}),
        (7, "out/b", {}),
        (8, "root/.cache/pip/b", {}),
        (8, "usr/lib/b", {}),
    ],
    ids=["content", "time", "mode", "one snapshot", "a cache", "a root file system"],
)
def test_what_is_not_a_copy_of_a_result_stays(
    cache: Cache, snapshot: int, name: str, change: dict[str, object]
) -> None:
    first = cache.file(7, "out/a")
    second = cache.file(snapshot, name, **change)  # type: ignore[arg-type]
    assert cache.share() == 0
    assert not one(first, second)


@pytest.mark.parametrize(
    "settings", [{"content": b"small"}, {"when": TIME // 10**9 * 10**9}], ids=["small", "unpacked"]
)
def test_small_files_and_those_out_of_archives_stay(cache: Cache, settings: dict[str, object]) -> None:
    files = [cache.file(number, "out/a", **settings) for number in (7, 8)]  # type: ignore[arg-type]
    assert cache.share() == 0
    assert not one(*files)


def test_what_buildkit_pulled_from_the_lab_is_there_once(cache: Cache) -> None:
    pulled, given = cache.blob()
    small = cache.blob(b"small")
    other = cache.blob(CONTENT + b"other")
    other[1].write_bytes(CONTENT + b"broken")
    assert cache.share() > LEAST
    assert one(pulled, given)
    assert given.read_bytes() == CONTENT
    assert not one(*small)
    assert not one(*other)
    assert other[1].read_bytes() == CONTENT + b"broken"


def test_it_ends_in_time_and_what_an_interrupted_one_left_is_gone(cache: Cache) -> None:
    files = [cache.file(number, "out/a") for number in (7, 8)]
    (cache.folder / "aside").write_bytes(b"left")
    began = time.monotonic()
    assert cache.share(-1) == 0
    assert time.monotonic() - began < 10
    assert not one(*files)
    assert cache.share() > 0
    assert not (cache.folder / "aside").exists()


def test_a_cache_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert Cache(tmp_path / "none").share() == 0


@pytest.mark.parametrize(
    ("kind", "goes"),
    [
        ("initramfs", False),
        ("installer", True),
        ("image", True),
        ("kernel", False),
        ("iso", False),
        ("uki", False),
        ("cmdline", False),
    ],
)
def test_the_imagers_results_that_another_step_makes_ready_go(kind: str, goes: bool) -> None:
    head = "arch: arm64\nplatform: metal\ninput:\n  kernel:\n    path: /usr/install/arm64/vmlinuz\n"
    profile = f"{head}output:\n  kind: {kind}\n  outFormat: raw\n"
    helper = json.dumps({"ca": "/dev/.exec/ca.pem", "stdin": profile})
    found = re.fullmatch('description~="(.*)"', SUPERSEDED[0])
    assert found
    for args, this in (
        (f"{helper} /usr/bin/imager -", goes),
        ("/usr/bin/imager - kind", False),
        ("tar --create", False),
    ):
        assert bool(re.search(found[1], f"mount / from exec /dev/.exec/helper {args}")) is this
