"""What is kept of images from session to session: what one digest is, asked of BuildKit once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from embedded.engine import llb
from embedded.engine.api.context import Engine
from embedded.engine.api.images import from_
from embedded.engine.api.values import Container, Directory, File
from embedded.engine.buildkit import FileStat, ImageConfig, Ref, SolveError
from embedded.engine.errors import EngineError
from embedded.engine.kept import LARGEST, MOST, Kept

DIGEST = "sha256:" + "a" * 64
NAME = "registry.example.com/a:1"
PINNED = f"{NAME}@{DIGEST}"
CONFIG = {"os": "linux", "architecture": "arm64", "config": {"Entrypoint": ["/bin/a"]}}
FACTS = ("what is not there", "entries", "stat", "contents")
ENTRY = FileStat("etc", (1 << 31) | 0o755, 0, "", (1, 2))


class Asked:
    """BuildKit, and what it was asked."""

    def __init__(self, contents: bytes = b"\xff\x00text") -> None:
        self.asked: list[str] = []
        self._contents = contents

    async def resolve_image(self, reference: str, platform: str) -> ImageConfig:
        self.asked.append(f"{reference} {platform}")
        return ImageConfig(reference, DIGEST, CONFIG)

    async def solve(self, output: llb.Output) -> Ref:
        self.asked.append("solve")
        return Ref("build", "id")

    async def read_dir(self, reference: Ref, path: str) -> list[FileStat]:
        return [ENTRY]

    async def stat(self, reference: Ref, path: str) -> FileStat:
        if path == "/none":
            raise SolveError(f"stat {path}: no such file or directory")
        return FileStat(path, 0o644, 6, "")

    async def read_file(self, reference: Ref, path: str) -> bytes:
        return self._contents


def engine(folder: Path | None, contents: bytes = b"\xff\x00text") -> tuple[Engine, list[str]]:
    """A session's engine, and what its BuildKit is asked."""
    bk = Asked(contents)
    made = Engine(
        bk=cast("Any", bk),
        attachables=cast("Any", None),
        platform="linux/amd64",
        workdir=Path("/"),
        scratch=Path("/"),
        helper=llb.SCRATCH,
        kept=Kept(folder),
    )
    return made, bk.asked


def tree(reference: str = PINNED, platform: str = "linux/arm64") -> llb.Output:
    return llb.source(f"docker-image://{reference}", {}, platform, "pull it")


async def facts(made: Engine, of: llb.Output) -> tuple[Any, ...]:
    """All that can be asked about files."""
    with pytest.raises(EngineError) as raised:
        await made.stat(of, "/none", "none")
    return (
        await made.entries(Directory(of, "/")),
        await made.stat(of, "/etc/a", "etc/a"),
        await made.contents(File(of, "/etc/a")),
        raised.value.message,
    )


async def test_files_of_an_image_of_a_digest_are_asked_for_once(tmp_path: Path) -> None:
    first, asked = engine(tmp_path / "kept")
    found = await facts(first, tree())
    assert found == (
        [ENTRY], FileStat("/etc/a", 0o644, 6, ""), b"\xff\x00text", "stat none: no such file or directory"
    )  # fmt: skip
    assert asked
    second, asked = engine(tmp_path / "kept")
    assert await facts(second, tree()) == found
    assert asked == []


@pytest.mark.parametrize(
    "other",
    [
        tree(NAME),
        tree(platform="linux/amd64"),
        tree(PINNED.replace("a" * 64, "b" * 64)),
        llb.file_op(tree(), [llb.file_action("mkdir", path="/x", mode=0o755)], "make /x"),
        llb.source(f"git://example.com/a@{DIGEST}", {}),
    ],
    ids=["a tag", "another platform", "another digest", "files of ours", "a repository"],
)
async def test_what_is_not_that_image_is_asked_for(other: llb.Output, tmp_path: Path) -> None:
    await facts(engine(tmp_path)[0], tree())
    made, asked = engine(tmp_path)
    await facts(made, other)
    assert asked.count("solve") >= len(FACTS)


async def test_the_config_of_a_digest_is_asked_for_once_for_each_platform(tmp_path: Path) -> None:
    made, asked = engine(tmp_path)
    by_tag = await from_(Container("linux/arm64"), made, NAME)
    assert by_tag.image_ref == PINNED
    assert asked == [f"{NAME} linux/arm64"]
    made, asked = engine(tmp_path)
    by_digest = await from_(Container("linux/arm64"), made, PINNED)
    assert asked == []
    assert (by_digest.image_ref, by_digest.settings, by_digest.platform) == (PINNED, by_tag.settings, by_tag.platform)
    await from_(Container("linux/amd64"), made, PINNED)
    assert asked == [f"{PINNED} linux/amd64"]


async def test_a_tag_is_looked_up_each_time(tmp_path: Path) -> None:
    for _ in range(2):
        made, asked = engine(tmp_path)
        await from_(Container("linux/arm64"), made, NAME)
        assert asked == [f"{NAME} linux/arm64"]


async def test_what_can_not_be_kept_is_asked_for_anew(tmp_path: Path) -> None:
    for folder in (None, tmp_path / "file" / "below"):
        (tmp_path / "file").touch()
        for _ in range(2):
            made, asked = engine(folder)
            await facts(made, tree())
            assert asked.count("solve") >= len(FACTS)
    await facts(engine(tmp_path / "kept")[0], tree())
    for one in (tmp_path / "kept").iterdir():
        one.write_text("{")
    made, asked = engine(tmp_path / "kept")
    await facts(made, tree())
    assert asked.count("solve") >= len(FACTS)


async def test_large_files_are_not_kept(tmp_path: Path) -> None:
    for _ in range(2):
        made, asked = engine(tmp_path, b"x" * LARGEST)
        assert len(await made.contents(File(tree(), "/large"))) == LARGEST
        assert "solve" in asked


def test_the_folder_does_not_grow_for_ever(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    for number in range(MOST + 10):
        kept.put(number, str(number))
    assert len(list(tmp_path.iterdir())) <= MOST
    assert kept.get(str(MOST + 9)) == MOST + 9
