"""An initramfs that is put together from several imager runs is the one that a single run gives."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
import zstandard

from ci.plan.initramfs_runs import imager_runs
from ci.steps.normalise.__main__ import main
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File
from tests.unit.steps.normalise.running import EPOCH, refusal, run_in_two_places

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOISE = random.Random(2)
BASE = samples.zstd(samples.cpio([File("init", samples.elf() + NOISE.randbytes(200_000), 0o755)])) + bytes(1)

_FIELD = re.compile(rb"070701[0-9a-f]{104}")


@dataclass
class Extension:
    """What the imager makes of one extension: its image, and what does not stay in that."""

    name: str
    modules: bool = False
    firmware: dict[str, bytes] = field(default_factory=dict[str, bytes])
    microcode: dict[str, bytes] = field(default_factory=dict[str, bytes])
    description: str = "A system extension."

    def image(self) -> bytes:
        return b"hsqs" + random.Random(self.name).randbytes(random.Random(self.name).randrange(1_000, 300_000))


LAYER = """\
    - image: {}
      metadata:
        name: {}
        version: v1.0.0
        description: {}
        compatibility:
            talos:
                version: '>= v1.0.0'
"""


def layer(image: str, name: str, description: str) -> str:
    """The lines of a layer, as Go's YAML has them."""
    if "\n" in description:
        text = description.replace("\n", "\n            ")
        description = f"|\n            {text}\n            - image: 7.sqsh\n\n            more"
    return LAYER.format(image, name, description)


def folders(paths: Sequence[str]) -> list[str]:
    found = {f"{parent}/" for path in paths for parent in PurePosixPath(path).parents if str(parent) != "."}
    return sorted(found)


def archive(files: dict[str, bytes], mtime: int) -> bytes:
    """What `cpio` makes of a tree: a folder, then what is in it, by name; numbers have large letters."""
    every = {**dict.fromkeys(folders(list(files)), b""), **files}
    members = [File(path, every[path]) for path in sorted(every, key=lambda path: path.rstrip("/").split("/"))]
    data = samples.cpio(members, mtime=mtime)
    trailer = data.rindex(b"070701")
    data = data[:trailer] + data[trailer:].replace(b"%08x" % mtime, b"00000000")
    data = _FIELD.sub(lambda header: header[0].upper(), data)
    return data + bytes(-len(data) % 512)


def imager(extensions: Sequence[Extension], base: bytes, mtime: int) -> bytes:
    """The initramfs of one imager run."""
    order = sorted(range(len(extensions)), key=str)
    late: dict[str, bytes] = {}
    early: dict[str, bytes] = {}
    text = "layers:\n"
    for number in order:
        one = extensions[number]
        late[f"{number}.sqsh"] = one.image()
        late |= {f"usr/lib/firmware/{path}": data for path, data in one.firmware.items()}
        for path, data in one.microcode.items():
            early[f"kernel/x86/microcode/{path}"] = early.get(f"kernel/x86/microcode/{path}", b"") + data
        text += layer(f"{number}.sqsh", one.name, one.description)
    with_modules = [extensions[number].name for number in order if extensions[number].modules]
    if with_modules:
        assert base
        late["modules.dep.sqsh"] = b"hsqs" + " ".join(with_modules).encode() * 1000
        text += layer("modules.dep.sqsh", "modules.dep", "Combined")
    late["extensions.yaml"] = text.encode()
    before = archive(early, mtime) if early else b""
    packing = zstandard.ZstdCompressor(level=1, write_checksum=True, write_content_size=False).compressobj()
    return before + base + packing.compress(archive(late, mtime)) + packing.flush()


def assemble(folder: Path, extensions: Sequence[Extension], base: bytes = BASE) -> list[str]:
    """The command line that puts the runs together, its files written."""
    (folder / "base").write_bytes(base)
    given: list[str] = []
    runs = imager_runs(len(extensions), [number for number, one in enumerate(extensions) if one.modules])
    for at, numbers in enumerate(run.numbers for run in runs):
        some = [extensions[number] for number in numbers]
        run = imager(some, base if some[0].modules else b"", 1_795_000_000 + at)
        (folder / f"run-{at}").write_bytes(run)
        given += ["--run", f"{','.join(map(str, numbers))}={folder / f'run-{at}'}"]
    return ["assemble", str(folder / "base"), str(folder / "out"), "--epoch", str(EPOCH), *given]


def whole(folder: Path, extensions: Sequence[Extension], base: bytes = BASE) -> bytes:
    """The normalised initramfs of one run."""
    (folder / "whole").write_bytes(imager(extensions, base, 1_795_407_323))
    assert main(["initramfs", str(folder / "whole"), str(folder / "normalised"), "--epoch", str(EPOCH)]) == 0
    return (folder / "normalised").read_bytes()


def plain(count: int) -> list[Extension]:
    return [Extension(f"one-{number}") for number in range(count)]


def firmware(name: str, *paths: str) -> Extension:
    return Extension(name, firmware={path: path.encode() * 999 for path in paths})


LISTS = {
    **{f"{count} plain": plain(count) for count in (1, 2, 7, 12)},
    "firmware": [*plain(1), firmware("bnx2", "bnx2x/a.fw", "b.fw"), firmware("qed", "qed/c.bin", "b.fw")],
    "firmware alone": [firmware("qed", "qed/c.bin")],
    "one with modules": [*plain(1), Extension("drbd", modules=True), Extension("youki")],
    "modules alone": [Extension("drbd", modules=True)],
    "two with modules": [*plain(2), Extension("drbd", modules=True), Extension("a"), Extension("zfs", modules=True)],
    "three with modules, above ten": [
        Extension(f"x{number}", modules=number in {1, 2, 10}, firmware={f"{number}.fw": b"f" * number})
        for number in range(12)
    ],
    "more than ten with modules": [Extension(f"x{number}", modules=number != 3) for number in range(14)],
    "microcode": [
        Extension("amd-ucode", microcode={"AuthenticAMD.bin": b"amd" * 50}),
        *plain(1),
        Extension("intel-ucode", microcode={"GenuineIntel.bin": b"intel" * 50}, firmware={"i915/x": b"x"}),
        Extension("intel-more", microcode={"GenuineIntel.bin": b"more"}),
        Extension("zfs", modules=True),
    ],
    "a description of several lines": [Extension("a", description="one\ntwo"), Extension("b", description="one\ntwo")],
}


@pytest.mark.parametrize("extensions", LISTS.values(), ids=LISTS)
def test_several_runs_give_what_one_run_of_all_gives(tmp_path: Path, extensions: list[Extension]) -> None:
    assert main(assemble(tmp_path, extensions)) == 0
    assert (tmp_path / "out").read_bytes() == whole(tmp_path, extensions)


def test_what_is_before_the_bases_first_frame_gets_the_time_too(tmp_path: Path) -> None:
    base = archive({"kernel/x86/microcode/GenuineIntel.bin": b"of the base"}, 5) + BASE
    extensions = [*plain(2), Extension("amd", microcode={"AuthenticAMD.bin": b"a"}), Extension("zfs", modules=True)]
    assert main(assemble(tmp_path, extensions, base)) == 0
    assert (tmp_path / "out").read_bytes() == whole(tmp_path, extensions, base)


def test_a_base_of_several_frames_stays_as_it_is(tmp_path: Path) -> None:
    base = BASE + samples.zstd(samples.cpio([File("more", b"more")]))
    extensions = [*plain(2), Extension("zfs", modules=True)]
    assert main(assemble(tmp_path, extensions, base)) == 0
    assert (tmp_path / "out").read_bytes() == whole(tmp_path, extensions, base)


def test_the_order_in_which_runs_are_named_does_not_matter(tmp_path: Path) -> None:
    extensions = LISTS["three with modules, above ten"]
    command = assemble(tmp_path, extensions)
    pairs = [command[at : at + 2] for at in range(5, len(command), 2)]
    assert main([*command[:5], *(word for pair in reversed(pairs) for word in pair)]) == 0
    assert (tmp_path / "out").read_bytes() == whole(tmp_path, extensions)


def test_it_is_the_same_file_wherever_it_is_put_together(tmp_path: Path) -> None:
    command = assemble(tmp_path, LISTS["microcode"])
    elsewhere = [word.replace(f"{tmp_path}/out", f"{tmp_path}/other") for word in command]
    run_in_two_places(command, elsewhere)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "other").read_bytes()
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o644


def refused(folder: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    said = refusal(capsys, *command)
    assert not (folder / "out").exists()
    return said


def test_different_files_of_one_path_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extensions = [firmware("a", "a.fw"), Extension("b", firmware={"a.fw": b"other"})]
    said = refused(tmp_path, capsys, assemble(tmp_path, extensions))
    assert "run-0" in said
    assert said.endswith("run-1 bring different files for usr/lib/firmware/a.fw")


def test_microcode_that_a_run_of_several_has_around_it_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extensions = [
        Extension(name, modules=name != "b", microcode={"GenuineIntel.bin": name.encode()}) for name in ("a", "b", "c")
    ]
    said = refused(tmp_path, capsys, assemble(tmp_path, extensions))
    assert said.endswith("bring different files for kernel/x86/microcode/GenuineIntel.bin")


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        (("0", "0"), "each once, but of [0, 0]"),
        (("0", "2"), "each once, but of [0, 2]"),
        (("0,1", "2"), "run-0: does not hold the 2 extensions that it was given"),
    ],
)
def test_runs_that_are_not_of_all_extensions_once_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], numbers: tuple[str, str], reason: str
) -> None:
    command = assemble(tmp_path, plain(2))
    given = [word for at in (0, 1) for word in ("--run", f"{numbers[at]}={tmp_path}/run-{at}")]
    assert refused(tmp_path, capsys, [*command[:5], *given]).endswith(reason)


def test_an_index_of_modules_that_is_not_over_all_of_them_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = assemble(tmp_path, [Extension("a", modules=True), Extension("b")])
    (tmp_path / "run-0").write_bytes(imager([Extension("b", modules=True)], BASE, 1))
    (tmp_path / "run-1").write_bytes(imager([Extension("a", modules=True)], BASE, 1))
    said = refused(tmp_path, capsys, command)
    assert "modules.dep.sqsh is over the modules of one run only" in said


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (BASE, "run-0: its last frame has no extensions.yaml"),
        (b"", "run-0: an empty file is no initramfs"),
        (archive({"0.sqsh": b"x"}, 1), "run-0: ends with no zstd frame: an imager with extensions appends one"),
        (
            samples.zstd(archive({"0.sqsh": b"x", "extensions.yaml": b"layers: []\n"}, 1)),
            "run-0: its extensions.yaml is not as the imager writes it",
        ),
        (
            samples.zstd(archive({"extensions.yaml": b"layers:\n" + layer("0.sqsh", "a", "b").encode()}, 1)),
            "run-0: does not hold the 1 extensions that it was given",
        ),
    ],
)
def test_what_no_imager_makes_of_extensions_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], run: bytes, reason: str
) -> None:
    command = assemble(tmp_path, plain(1))
    (tmp_path / "run-0").write_bytes(run)
    assert refused(tmp_path, capsys, command).endswith(reason)


@pytest.mark.parametrize("run", ["0", "=x", "a=x", "0,=x", "0="])
def test_a_run_without_numbers_and_a_file_is_refused(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["assemble", "base", "out", "--epoch", "1", "--run", run])
    assert "is no run: write the numbers of its extensions and its file" in capsys.readouterr().err


CPIO = ("cpio", "-H", "newc", "--create", "--reproducible", "--quiet", "-R", "+0:+0")


def by_tools(folder: Path, extensions: Sequence[Extension], base: bytes) -> bytes:
    """The initramfs of one imager run, by the programs that the imager calls, on files of this machine."""
    folder.mkdir()
    texts: list[str] = []
    for number in sorted(range(len(extensions)), key=str):
        one = extensions[number]
        (folder / f"{number}.sqsh").write_bytes(one.image())
        for path, data in one.firmware.items():
            file = folder / "usr/lib/firmware" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        texts.append(layer(f"{number}.sqsh", one.name, one.description))
    (folder / "extensions.yaml").write_text("layers:\n" + "".join(texts))
    names = sorted((path.relative_to(folder) for path in folder.rglob("*")), key=lambda path: path.parts)
    listing = "".join(f"{name}\n" for name in names).encode()
    archive = subprocess.run(CPIO, cwd=folder, input=listing, stdout=subprocess.PIPE, check=True).stdout
    packed = subprocess.run(["zstd", "-1", "-c", "-q"], input=archive, stdout=subprocess.PIPE, check=True)
    return base + packed.stdout


@pytest.mark.skipif(not shutil.which("cpio") or not shutil.which("zstd"), reason="needs cpio and zstd")
def test_it_is_so_with_the_programs_that_the_imager_calls(tmp_path: Path) -> None:
    extensions = [*plain(9), firmware("bnx2", "bnx2x/a.fw", "b.fw"), firmware("qed", "qed/c.bin", "b.fw"), *plain(1)]
    (tmp_path / "base").write_bytes(BASE)
    given: list[str] = []
    for number, one in enumerate(extensions):
        (tmp_path / f"run-{number}").write_bytes(by_tools(tmp_path / f"tree-{number}", [one], b""))
        given += ["--run", f"{number}={tmp_path / f'run-{number}'}"]
    epoch = ("--epoch", str(EPOCH))
    assert main(["assemble", str(tmp_path / "base"), str(tmp_path / "out"), *epoch, *given]) == 0
    (tmp_path / "whole").write_bytes(by_tools(tmp_path / "tree", extensions, BASE))
    assert main(["initramfs", str(tmp_path / "whole"), str(tmp_path / "normalised"), *epoch]) == 0
    assert (tmp_path / "out").read_bytes() == (tmp_path / "normalised").read_bytes()
