"""The engine's image tarball becomes a layout in which the imager finds the image, and nothing but that image."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ci.inspect.inspect import inspect_path
from ci.inspect.models import ImageFacts
from ci.steps.normalise.__main__ import main
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File, Image
from tests.unit.steps.normalise.running import files_in, refusal, run_in_two_places

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = [[File("usr/bin/installer", samples.elf(), 0o755)], [File("usr/install/arm64/vmlinuz.efi", b"", 0)]]


def layout(architecture: str = "arm64") -> dict[str, bytes]:
    return {file.path: file.data for file in Image(LAYERS, architecture=architecture).layout()}


def as_the_engine(files: dict[str, bytes], *more: File, **index: Any) -> bytes:
    """The tar as Dagger's engine writes it: folders, no platform in the index, a docker manifest beside it."""
    value = json.loads(files["index.json"])
    for descriptor in value["manifests"]:
        del descriptor["platform"]
    files = {**files, "index.json": json.dumps({**value, **index}).encode()}
    names = [File("blobs/"), File("blobs/sha256/"), *(File(path, data) for path, data in sorted(files.items()))]
    return samples.tar([*names, File("manifest.json", b"[]"), *more])


def unpack(tmp_path: Path, data: bytes, arch: str = "arm64") -> Path:
    path, out = tmp_path / "base.tar", tmp_path / "out"
    path.write_bytes(data)
    assert main(["base-installer", str(path), str(out), "--arch", arch]) == 0
    return out


def test_the_index_says_the_platform_that_the_image_has(tmp_path: Path) -> None:
    out = unpack(tmp_path, as_the_engine(layout("amd64")), "amd64")
    index = json.loads((out / "index.json").read_bytes())
    before = json.loads(layout("amd64")["index.json"])["manifests"][0]
    assert index == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": before["digest"],
                "size": before["size"],
                "platform": {"os": "linux", "architecture": "amd64"},
            }
        ],
    }
    assert json.loads((out / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}


def test_the_readers_find_the_same_image(tmp_path: Path) -> None:
    out = inspect_path(unpack(tmp_path, as_the_engine(layout()))).facts
    folder = tmp_path / "before"
    for path, data in layout().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    before = inspect_path(folder).facts
    assert isinstance(out, ImageFacts)
    assert out == before


def test_blobs_are_unchanged_and_what_the_image_does_not_need_stays_out(tmp_path: Path) -> None:
    out = unpack(tmp_path, as_the_engine(layout(), File(f"blobs/sha256/{samples.sha(b'other')}", b"other")))
    assert {name: (out / name).read_bytes() for name in files_in(out) if name.startswith("blobs/")} == {
        name: data for name, data in layout().items() if name.startswith("blobs/")
    }
    assert {name for name in files_in(out) if not name.startswith("blobs/")} == {"index.json", "oci-layout"}


def test_two_runs_give_one_layout(tmp_path: Path) -> None:
    (tmp_path / "base.tar").write_bytes(as_the_engine(layout()))
    run_in_two_places(*(["base-installer", f"{tmp_path}/base.tar", f"{tmp_path}/{n}", "--arch=arm64"] for n in "ab"))
    found = [
        {
            str(path.relative_to(tmp_path / name)): (path.stat().st_mode, b"" if path.is_dir() else path.read_bytes())
            for path in (tmp_path / name).rglob("*")
        }
        for name in "ab"
    ]
    assert len(found[0]) == 2 + 6
    assert found[0] == found[1]


def test_an_image_for_another_architecture_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "base.tar"
    path.write_bytes(as_the_engine(layout("amd64")))
    said = refusal(capsys, "base-installer", path, tmp_path / "out", "--arch", "arm64")
    assert said == f"error: {path}: the image is for linux/amd64, the installer is built for linux/arm64"
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "base.tar"
    path.write_bytes(as_the_engine(layout()))
    said = refusal(capsys, "base-installer", path, tmp_path, "--arch", "arm64")
    assert said == f"error: {tmp_path}: is not empty: an OCI layout needs an empty folder"
    assert files_in(tmp_path) == ["base.tar"]


def descriptor(**changes: Any) -> dict[str, Any]:
    before = json.loads(layout()["index.json"])["manifests"][0]
    return {"manifests": [{key: value for key, value in {**before, **changes}.items() if key != "platform"}]}


LAYER = f"blobs/sha256/{samples.sha(samples.zstd(samples.tar(LAYERS[0])))}"
NESTED = "application/vnd.oci.image.index.v1+json"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no tar at all" * 100, "tar header"),
        (samples.tar([File("manifest.json", b"[]")]), "no index.json: not an OCI image tarball"),
        (as_the_engine(layout(), manifests=[]), "holds 0 images, one is expected"),
        (as_the_engine(layout(), **descriptor(mediaType=NESTED)), "manifests: Field required"),
        (as_the_engine(layout(), manifests=descriptor()["manifests"] * 2), "holds 2 images, one is expected"),
        (as_the_engine(layout(), **descriptor(digest="sha256:../../../etc/passwd")), "manifests.0.digest: String"),
        (
            as_the_engine(layout(), **descriptor(digest=f"sha256:{'0' * 64}")),
            f"blobs/sha256/{'0' * 64}: the image names this file, which is not there",
        ),
        (as_the_engine(layout(), File("../evil", b"x")), "'../evil': a name that leads out of the archive"),
        (as_the_engine(layout(), File("/etc/evil", b"x")), "'/etc/evil': a name that leads out of the archive"),
        (as_the_engine({**layout(), LAYER: b"other"}), f"{LAYER}: its bytes have another digest"),
        (as_the_engine({**layout(), "index.json": b'{"manifests": []}'}, manifests="x"), "manifests: Input should be"),
        (
            as_the_engine({path: data for path, data in layout().items() if path != LAYER}),
            "names this file, which is not there",
        ),
    ],
)
def test_what_is_no_image_tarball_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, reason: str
) -> None:
    path = tmp_path / "in" / "base.tar"
    path.parent.mkdir()
    path.write_bytes(data)
    said = refusal(capsys, "base-installer", path, tmp_path / "in" / "out", "--arch", "arm64")
    assert said.startswith(f"error: {path}")
    assert reason in said
    assert files_in(tmp_path) == ["in/base.tar"]
