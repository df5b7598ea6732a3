"""What the lab made for other versions goes, and is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedded.lab.builder import Builder
from embedded.lab.recipe import Recipe
from embedded.lab.superseded import remove_superseded


def _used(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    """A lab with one recipe, which is done, and one that was done by another version."""
    made = Builder(tmp_path / "lab", {"x/new:1": Recipe("x/new:1", lambda _: {})}, "")
    for name, blob in (("x/new:1", "a" * 64), ("x/old:1", "b" * 64)):
        made.stamp(name).parent.mkdir(parents=True, exist_ok=True)
        made.results_folder(name).mkdir(parents=True)
        (made.results_folder(name) / "file").write_bytes(b"x" * 10_000)
        path = made.blobs.path(f"sha256:{blob}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100_000)
        named = {"mediaType": "layer", "digest": f"sha256:{blob}", "size": 100_000}
        made.stamp(name).write_text(json.dumps({"name": name, "key": "", "digest": "", "value": {"blobs": [named]}}))
    return made


def test_what_the_lab_no_longer_has_goes(builder: Builder) -> None:
    (removed,) = remove_superseded(builder, _used)
    assert removed.what == "what the lab made for another version"
    assert 110_000 <= removed.freed < 140_000
    assert builder.stamp("x/new:1").exists()
    assert (builder.results_folder("x/new:1") / "file").exists()
    assert [path.name[0] for path in (builder.lab / "registry/sha256").iterdir()] == ["a"]
    assert not builder.stamp("x/old:1").exists()
    assert not builder.results_folder("x/old:1").exists()
    assert remove_superseded(builder, _used) == []


def test_a_lab_that_is_being_made_is_left_alone(builder: Builder) -> None:
    with builder.free() as free:
        assert free
        assert remove_superseded(builder, _used) == []
    assert builder.stamp("x/old:1").exists()
