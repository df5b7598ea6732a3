"""Files of a folder are read at the same time, and what is said of them does not depend on which is done first."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ci.inspect import inspect as reading
from ci.inspect.inspect import inspect_path
from ci.inspect.limits import MIB
from ci.inspect.models import DataFacts, Inspection, UnreadableFacts
from ci.inspect.seen import Seen
from tests.unit.inspect import sample_media, samples
from tests.unit.inspect.samples import File

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KERNEL = samples.kernel(payload=os.urandom(MIB))
INITRAMFS = samples.zstd(samples.cpio([File("init", os.urandom(2048))]))
UKI = samples.uki(KERNEL, INITRAMFS)
MEDIA = [File("EFI/Linux/Talos-v1.13.6.efi", UKI)]
#: In the order in which they are read.
FILES = {
    "boot/initramfs.xz": INITRAMFS,
    "disk/metal.raw": sample_media.gpt([(sample_media.ESP, "EFI", sample_media.fat(MEDIA))]),
    "installer/a.tar": samples.installer(UKI, samples.boot_loader()).archive(),
    "linux/linux": KERNEL,
    "metal/metal.iso": sample_media.iso(MEDIA),
}
#: What reads a file of a folder.
READ = "_readable"
#: Seconds after which a thread that still waits hangs.
LIMIT = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return tmp_path


def read_last(monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    """Have one file wait until all others are read."""
    others = threading.Barrier(len(FILES))
    real: Callable[..., Inspection] = getattr(reading, READ)

    def readable(place: Path, entry: Any, context: Any) -> Inspection:
        if entry.path == last:
            others.wait(LIMIT)
            return real(place, entry, context)
        found = real(place, entry, context)
        others.wait(LIMIT)
        return found

    monkeypatch.setattr(reading, "_AT_ONCE", len(FILES))
    monkeypatch.setattr(reading, READ, readable)


@pytest.mark.parametrize("last", FILES)
def test_it_does_not_matter_which_file_is_read_last(folder: Path, monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    monkeypatch.setattr(reading, "_AT_ONCE", 1)
    one_by_one = inspect_path(folder)
    read_last(monkeypatch, last)
    assert inspect_path(folder) == one_by_one


def test_what_is_in_several_files_is_told_in_the_first(folder: Path) -> None:
    told = {
        f"{file.name}:{node.name}" if node is not file else file.name: node.same_as
        for file in inspect_path(folder).contents
        for _, node in file.walk()
    }
    in_the_disk = "disk/metal.raw:EFI:EFI/Linux/Talos-v1.13.6.efi"
    assert told["boot/initramfs.xz"] is told["disk/metal.raw"] is told["metal/metal.iso"] is None
    assert told["disk/metal.raw:EFI/Linux/Talos-v1.13.6.efi"] is None
    assert told["disk/metal.raw:.initrd"] == "boot/initramfs.xz"
    assert told["installer/a.tar:usr/install/arm64/vmlinuz.efi"] == in_the_disk
    assert told["linux/linux"] == f"{in_the_disk}:.linux"
    assert told["metal/metal.iso:EFI/Linux/Talos-v1.13.6.efi"] == in_the_disk


def data(name: str) -> Inspection:
    return Inspection(name=name, size=1024, sha256=name, facts=DataFacts(head=""), same_as=name)


def test_what_another_one_reads_is_waited_for() -> None:
    seen, mine = Seen(), set[str]()
    assert seen.begin("a", mine) is None
    found: list[Inspection | None] = []
    other = threading.Thread(target=lambda: found.append(seen.begin("a", set())), daemon=True)
    other.start()
    other.join(0.1)
    assert other.is_alive()
    seen.end("a", mine, data("a"))
    other.join(LIMIT)
    assert found == [data("a")]


def test_what_another_one_could_not_read_is_read_again() -> None:
    seen, mine = Seen(), set[str]()
    assert seen.begin("a", mine) is None
    seen.end("a", mine, None)
    assert seen.begin("a", set()) is None


def test_an_error_is_told_by_each_file_with_its_own_place() -> None:
    seen, mine = Seen(), set[str]()
    assert seen.begin("a", mine) is None
    inside = Inspection(name=".initrd", size=1, sha256="b", facts=UnreadableFacts(error="disk/metal.raw:.initrd: lz4"))
    seen.end("a", mine, data("a").model_copy(update={"contents": (inside,)}))
    assert seen.begin("a", set()) is None


def test_two_that_hold_each_other_do_not_wait_for_ever() -> None:
    seen, both = Seen(), threading.Barrier(2)

    def read(outer: str, inner: str) -> None:
        own = set[str]()
        assert seen.begin(outer, own) is None
        both.wait(LIMIT)
        seen.begin(inner, own)
        seen.end(outer, own, data(outer))

    threads = [threading.Thread(target=read, args=pair, daemon=True) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads)


def test_what_holds_itself_does_not_wait_for_itself() -> None:
    seen, own = Seen(), set[str]()
    assert seen.begin("a", own) is None
    found: list[Inspection | None] = []
    again = threading.Thread(target=lambda: found.append(seen.begin("a", own)), daemon=True)
    again.start()
    again.join(LIMIT)
    assert found == [None]
