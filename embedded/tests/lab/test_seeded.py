"""What is known beforehand comes out as listed, and is as large and as dense as what it stands in for."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from pathlib import Path

import pytest

from embedded import lab
from embedded.lab import payload
from embedded.lab.builder import Builder, NoProgress
from embedded.lab.contents import catalog, extensions, seeded
from embedded.lab.errors import LabError
from embedded.lab.oci import Blobs

REGISTRY = "ghcr.io/siderolabs"
TAILSCALE = f"{REGISTRY}/tailscale:1.98.10"


@pytest.mark.parametrize(("density", "least", "most"), [(0.05, 0.03, 0.1), (0.36, 0.33, 0.42), (1, 0.99, 1.01)])
def test_payload_packs_as_densely_as_asked(density: float, least: float, most: float) -> None:
    content = payload.content("seed", 3_000_001, density)
    assert len(content) == 3_000_001
    assert least < len(zlib.compress(content, 6)) / len(content) < most


def test_payload_follows_from_its_seed_alone() -> None:
    assert payload.content("seed", 5000, 0.4) == payload.content("seed", 5000, 0.4)
    assert payload.content("seed", 5000, 0.4) != payload.content("other", 5000, 0.4)


@pytest.mark.parametrize("size", [0, 5, 0xFFFF, 200_000])
def test_stored_layer_is_gzip_whose_bytes_depend_on_no_library(tmp_path: Path, size: int) -> None:
    content = payload.content("layer", size, 0.4)
    blobs = Blobs(tmp_path)
    layer = blobs.put_layer(io.BytesIO(content), stored=True)
    packed = blobs.path(layer.blob.digest).read_bytes()
    assert gzip.decompress(packed) == content
    blocks = max(1, size // 0xFFFF + 1)
    assert len(packed) == 10 + 5 * blocks + size + 8


def test_known_images_come_out_as_listed() -> None:
    names = ("amd-ucode:20260622", "intel-ucode:20260512", "crun:1.28", "amd-ucode:20250917", "crun:1.24")
    small = {name: extensions.seeds()[name] for name in (f"{REGISTRY}/{each}" for each in names)}
    assert seeded.computed(small) == {name: seeded.known()[name] for name in small}


@pytest.mark.slow
def test_all_known_images_come_out_as_listed() -> None:
    assert seeded.computed(extensions.seeds()) == seeded.known()


def test_an_image_that_is_known_has_the_digest_that_catalogs_list(tmp_path: Path) -> None:
    builder = Builder(tmp_path, lab.builder().recipes, lab.builder().tools)
    made = builder.build([TAILSCALE], NoProgress())
    assert list(made) == [TAILSCALE]
    assert made[TAILSCALE].value["image"]["digest"] == catalog.known()[TAILSCALE]
    assert builder.by_digest(f"{REGISTRY}/tailscale", catalog.known()[TAILSCALE]) == TAILSCALE
    assert builder.by_digest(f"{REGISTRY}/spin", catalog.known()[TAILSCALE]) is None


def test_layers_are_made_for_the_architectures_that_are_asked_for() -> None:
    builder, checkout = lab.builder(), "part/checkout/v1.13.6"
    assert builder.with_layers([TAILSCALE, checkout], {"arm64"}) == [
        TAILSCALE,
        checkout,
        "part/layer/tailscale:1.98.10/arm64",
    ]
    assert builder.with_layers([TAILSCALE]) == [
        TAILSCALE,
        "part/layer/tailscale:1.98.10/amd64",
        "part/layer/tailscale:1.98.10/arm64",
    ]
    assert builder.with_layers(["no such image"], set()) == ["no such image"]


def test_catalogs_and_checkouts_need_nothing_that_is_known() -> None:
    for name in (f"{REGISTRY}/extensions:v1.13.6", "part/checkout/v1.13.6"):
        needed = {recipe.name for recipe in lab.builder().closure([name])}
        assert not needed & catalog.known().keys()
        assert not {one for one in needed if one.startswith("part/layer/") or "tailscale" in one}


def test_a_layer_that_comes_out_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "content", lambda *_: b"other")
    builder = Builder(tmp_path, lab.builder().recipes, lab.builder().tools)
    with pytest.raises(LabError, match=r"crun:1\.28 for arm64 does not come out as known\.json lists it") as raised:
        builder.build(["part/layer/crun:1.28/arm64"], NoProgress())
    assert "./daggerw --engine lab known" in raised.value.hint


def test_tailscale_is_as_large_as_the_real_one(tmp_path: Path) -> None:
    builder = Builder(tmp_path, lab.builder().recipes, lab.builder().tools)
    layer = builder.build(["part/layer/tailscale:1.98.10/arm64"], NoProgress())["part/layer/tailscale:1.98.10/arm64"]
    packed = builder.blobs.path(layer.layer.blob.digest).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        sizes = {Path(member.name).name: member.size for member in tar if member.mode & 0o111 and member.isreg()}
    assert sizes == {"tailscale": 21_000_000, "tailscaled": 27_000_000, "containerboot": 17_500_000}
