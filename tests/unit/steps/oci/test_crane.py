"""What crane says of images that `ci.steps.oci` makes, and of broken ones. Needs the real crane."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from ci.common.arch import Arch
from ci.common.oci import ImageSpec
from ci.steps.images import __main__ as images
from ci.steps.images import crane
from ci.steps.oci.layout import write_image
from ci.verify.checks_images import ExpectedImage
from tests.unit.tools import needs
from tests.unit.verify.assets import build, good

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [needs("crane"), needs("tar")]

LABELS = {"org.opencontainers.image.title": "Talos boot assets", "io.cozystack.talos.plan": "c" * 64}
SPEC = ImageSpec(arch=Arch.ARM64, created=1700000000, labels=LABELS)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An image with two files below /assets and nothing else."""
    boot = tmp_path / "root/assets/boot"
    boot.mkdir(parents=True)
    (boot / "vmlinuz").write_bytes(b"kernel" * 10_000)
    (tmp_path / "root/assets/notés $.txt").write_text("notes")
    (tmp_path / "scratch").mkdir()
    write_image(SPEC, tmp_path / "layout", root=tmp_path / "root")
    return tmp_path / "layout"


def digest_of(layout: Path) -> str:
    return json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]


def test_all_that_an_image_says_is_found(layout: Path, tmp_path: Path) -> None:
    found = crane.find(layout, "it", tmp_path / "scratch")
    assert (found.platform, found.labels, found.annotations) == ("linux/arm64", LABELS, LABELS)
    assert (found.digest, found.complaint) == (digest_of(layout), "")
    types = {path: entry.type for path, entry in found.entries.items()}
    assert types == {"assets": "directory", "assets/boot": "directory", "assets/boot/vmlinuz": "file",
                     "assets/notés $.txt": "file"}  # fmt: skip
    assert found.entries["assets/notés $.txt"].sha256 == hashlib.sha256(b"notes").hexdigest()


@pytest.mark.parametrize("archive", ["layout.tar", "docker.tar"])
def test_an_archive_is_read_as_the_layout_is(layout: Path, tmp_path: Path, archive: str) -> None:
    path = tmp_path / archive
    if archive == "layout.tar":
        with tarfile.open(path, "w") as tar:
            tar.add(layout, ".")
    else:
        with crane.serving(tmp_path / "registry") as address:
            crane.run("crane", "push", layout, f"{address}/it", name="it")
            crane.run("crane", "pull", f"{address}/it", path, name="it")
    found = crane.find(path, "it", tmp_path / "scratch")
    assert (found.platform, found.labels) == ("linux/arm64", LABELS)
    assert "assets/boot/vmlinuz" in found.entries


def test_what_is_no_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "word.tar").write_text("a word")
    with pytest.raises(crane.BuildError, match=r"^word\.tar: is not an image archive: "):
        crane.find(tmp_path / "word.tar", "it", tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(crane.BuildError, match=r"^it: `crane push \S+ 127\.0\.0\.1:\d+/image:it` fails: "):
        crane.find(tmp_path / "folder", "it", tmp_path)


def flipped(layout: Path) -> None:
    """Change a byte of the layer, which keeps its name and size."""
    (manifest,) = json.loads((layout / "index.json").read_text())["manifests"]
    (layer,) = json.loads(blob(layout, manifest["digest"]).read_text())["layers"]
    data = bytearray(blob(layout, layer["digest"]).read_bytes())
    data[len(data) // 2] ^= 1
    blob(layout, layer["digest"]).write_bytes(data)


def blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def test_a_layer_of_other_bytes_is_not_read(layout: Path, tmp_path: Path) -> None:
    flipped(layout)
    with pytest.raises(crane.BuildError, match=r"DIGEST_INVALID|digest|checksum"):
        crane.find(layout, "it", tmp_path / "scratch")


def with_label(document: dict[str, Any]) -> None:
    document["config"]["Labels"]["io.cozystack.talos.plan"] = "d" * 64


def for_amd64(document: dict[str, Any]) -> None:
    document["architecture"] = "amd64"


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        (None, ["image.files"]),  # no checksums and no report
        (with_label, ["image.labels", "image.digests", "image.files"]),
        (for_amd64, ["image.platform", "image.digests", "image.files"]),
    ],
)
def test_the_program_says_what_is_wrong(
    layout: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], None] | None,
    fails: list[str],
) -> None:
    before = digest_of(layout)
    if change:
        rewrite(layout, change)
    expected = ExpectedImage(kind="assets", platform="linux/arm64", labels=LABELS, digest=before, files={})
    (tmp_path / "expected.json").write_text(expected.model_dump_json())
    code = images.main([str(layout), "--expect", str(tmp_path / "expected.json"), "--format", "json"])
    result = json.loads(capsys.readouterr().out)
    assert code == 1
    found = [check["id"] for check in result["checks"] if check["status"] == "fail"]
    assert [one for one in found if one != "image.checksums"] == fails


def rewrite(layout: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the configuration, with true digests all the way up."""
    index = json.loads((layout / "index.json").read_text())
    (entry,) = index["manifests"]
    manifest = json.loads(blob(layout, entry["digest"]).read_text())
    config = json.loads(blob(layout, manifest["config"]["digest"]).read_text())
    change(config)
    for holder, document in ((manifest["config"], config), (entry, manifest)):
        data = json.dumps(document).encode()
        holder |= {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
        blob(layout, holder["digest"]).write_bytes(data)
    (layout / "index.json").write_text(json.dumps(index))


def test_a_crane_that_is_not_there_is_told_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(crane, "CRANE", "no-such-crane")
    (tmp_path / "expected.json").write_text("{}")
    assert shutil.which("no-such-crane") is None
    assert images.main([str(tmp_path), "--expect", str(tmp_path / "expected.json")]) == 2


def test_the_assets_in_an_image_are_checked_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "root/assets").mkdir(parents=True)
    build(tmp_path / "root/assets", good())
    write_image(SPEC, tmp_path / "layout", root=tmp_path / "root")
    (tmp_path / "expected.json").write_text(ExpectedImage(platform="linux/arm64").model_dump_json())
    words = [str(tmp_path / "layout"), "--expect", str(tmp_path / "expected.json"), "--assets-expect", "-"]
    assert images.main([*words, "--format", "json"]) == 1
    found = {check["id"]: check["status"] for check in json.loads(capsys.readouterr().out)["checks"]}
    assert (found["image.files"], found["image.checksums"]) == ("pass", "pass")
    assert (found["kernel.machine"], found["extensions.listed"]) == ("pass", "pass")
    # the image says next to nothing of itself
    assert {name for name, status in found.items() if status == "fail"} == {"image.labels"}
