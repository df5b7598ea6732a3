"""Images as OCI layouts: true digests, a base's bytes untouched, and the same bytes wherever they are made."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ci.common.arch import Arch
from ci.common.oci import ImageSpec
from ci.inspect.inspect import inspect_path
from ci.inspect.models import ImageFacts
from ci.steps.oci.__main__ import main
from ci.steps.oci.gzip_stored import StoredGzip
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File, Image

TOP = Path(__file__).parents[4]
EPOCH = 1_700_000_000
EPOCH_TEXT = "2023-11-14T22:13:20Z"
LABELS = {"org.opencontainers.image.version": "v1.13.6", "io.cozystack.talos.variant": "spin-only"}
MEBI = 1 << 20

BASE = Image([[File("usr/"), File("usr/bin/"), File("usr/bin/installer", samples.elf(), 0o755)], [File("b", b"2")]])


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.json"
    path.write_text(ImageSpec(arch=Arch.ARM64, created=EPOCH, labels=LABELS).model_dump_json())
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "installer-arm64.tar"
    path.write_bytes(BASE.archive())
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A large file, and small ones, with times and modes of their own."""
    folder = tmp_path / "root"
    for name, size in (("assets/boot/vmlinuz", MEBI), ("assets/boot/initramfs.xz", 2 * MEBI), ("assets/b/c.json", 2)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode()[-1:] * size)
        path.chmod(0o600)
    (folder / "assets/a.txt").write_text("a")
    return folder


def make(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def document(layout: Path, digest: str) -> dict[str, Any]:
    return json.loads((layout / "blobs" / digest.replace(":", "/")).read_bytes())


def image(layout: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The descriptor in index.json, the manifest, and the configuration; every digest and size is looked at."""
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    (descriptor,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    manifest = document(layout, descriptor["digest"])
    named = [descriptor, manifest["config"], *manifest["layers"]]
    blobs = {path.name: path.read_bytes() for path in (layout / "blobs/sha256").iterdir()}
    assert {one["digest"] for one in named} == {f"sha256:{name}" for name in blobs}
    for one in named:
        content = blobs[one["digest"].removeprefix("sha256:")]
        assert one["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert one["size"] == len(content)
    return descriptor, manifest, document(layout, manifest["config"]["digest"])


def test_an_installer_keeps_its_layers_byte_for_byte(spec: Path, archive: Path, tmp_path: Path) -> None:
    make(spec, tmp_path / "out", "--base", archive)
    _, manifest, config = image(tmp_path / "out")
    packed = [samples.gz(samples.tar(layer)) for layer in BASE.layers]
    assert manifest["layers"] == [
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": f"sha256:{hashlib.sha256(layer).hexdigest()}",
            "size": len(layer),
        }
        for layer in packed
    ]
    plain = [samples.tar(layer) for layer in BASE.layers]
    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in plain]
    assert config["rootfs"] == {"type": "layers", "diff_ids": diff_ids}


def test_an_image_says_what_it_is(spec: Path, archive: Path, tmp_path: Path) -> None:
    make(spec, tmp_path / "out", "--base", archive)
    descriptor, manifest, config = image(tmp_path / "out")
    assert descriptor["mediaType"] == manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert descriptor["platform"] == {"architecture": "arm64", "os": "linux"}
    assert manifest["annotations"] == LABELS
    assert (config["created"], config["os"], config["architecture"]) == (EPOCH_TEXT, "linux", "arm64")
    assert config["config"] == {
        "Env": BASE.env,
        "Entrypoint": BASE.entrypoint,
        "WorkingDir": "/",
        "Labels": {**BASE.labels, **LABELS},
    }


def test_a_base_may_be_a_layout_and_gets_files_on_top(spec: Path, root: Path, tmp_path: Path) -> None:
    base = tmp_path / "image.tar"
    base.write_bytes(samples.tar(BASE.layout()))
    make(spec, tmp_path / "out", "--base", base, "--root", root)
    facts = inspect_path(tmp_path / "out").facts
    assert isinstance(facts, ImageFacts)
    assert [layer.compression for layer in facts.layers] == ["zstd", "zstd", "gzip", "gzip", "gzip"]
    assert [layer.diff_id for layer in facts.layers] == list(facts.diff_ids)
    files = {entry.path: entry.sha256 for entry in facts.entries if entry.type == "file"}
    assert set(files) == {
        *("usr/bin/installer", "b", "assets/a.txt", "assets/b/c.json"),
        *("assets/boot/vmlinuz", "assets/boot/initramfs.xz"),
    }
    assert files["assets/boot/vmlinuz"] == hashlib.sha256(b"z" * MEBI).hexdigest()


def test_large_files_have_layers_of_their_own_and_small_ones_share_one(spec: Path, root: Path, tmp_path: Path) -> None:
    make(spec, tmp_path / "out", "--root", root)
    _, manifest, _ = image(tmp_path / "out")
    assert {layer["mediaType"] for layer in manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    found: list[list[tuple[Any, ...]]] = []
    for layer in manifest["layers"]:
        with tarfile.open(tmp_path / "out/blobs" / layer["digest"].replace(":", "/")) as tar:
            found.append([(m.name, m.type, oct(m.mode), m.mtime, m.uid, m.gid, m.uname) for m in tar])
    folder, file = (tarfile.DIRTYPE, "0o755", EPOCH, 0, 0, ""), (tarfile.REGTYPE, "0o644", EPOCH, 0, 0, "")
    assert found == [
        [("assets", *folder), ("assets/a.txt", *file), ("assets/b", *folder), ("assets/b/c.json", *file)],
        [("assets", *folder), ("assets/boot", *folder), ("assets/boot/initramfs.xz", *file)],
        [("assets", *folder), ("assets/boot", *folder), ("assets/boot/vmlinuz", *file)],
    ]


def test_an_equal_file_is_an_equal_layer_whatever_is_beside_it(spec: Path, root: Path, tmp_path: Path) -> None:
    make(spec, tmp_path / "one", "--root", root)
    (root / "assets/boot/initramfs.xz").write_bytes(b"other" * MEBI)
    make(spec, tmp_path / "two", "--root", root)
    digests = [{layer["digest"] for layer in image(tmp_path / out)[1]["layers"]} for out in ("one", "two")]
    assert len(digests[0] & digests[1]) == 2  # the kernel's and the small files'


def test_the_same_bytes_come_out_everywhere(spec: Path, archive: Path, root: Path, tmp_path: Path) -> None:
    for name, umask, zone in (("here", 0o022, "UTC"), ("there", 0o077, "Pacific/Kiritimati")):
        os.utime(root / "assets/a.txt", (umask, umask))
        subprocess.run(
            [sys.executable, "-m", "ci.steps.oci", spec, tmp_path / name, "--base", archive, "--root", root],
            cwd=TOP,
            env={"PATH": os.environ["PATH"], "TZ": zone, "PYTHONHASHSEED": str(umask)},
            umask=umask,
            check=True,
        )
    assert image(tmp_path / "here") == image(tmp_path / "there")
    assert {path.stat().st_mode for path in (tmp_path / "there").rglob("*") if path.is_file()} == {0o100644}


@dataclass
class Exported(Image):
    """An image with ports, as some engine writes it: names in their order, or the other way round."""

    backwards: bool = False

    def config(self, plain: list[bytes]) -> bytes:
        value: dict[str, Any] = json.loads(super().config(plain))
        run: dict[str, Any] = {**value["config"], "ExposedPorts": {"443/tcp": {}, "8080/tcp": {}}}
        for part in (run["ExposedPorts"], run):
            for name in sorted(part, reverse=self.backwards):
                part[name] = part.pop(name)
        return json.dumps({**value, "config": run}).encode()


def test_the_order_in_which_an_engine_writes_a_base_does_not_matter(spec: Path, tmp_path: Path) -> None:
    """Of one image Dagger's engine and BuildKit give configurations that differ in nothing else."""
    found: list[Any] = []
    for backwards in (False, True):
        base, out = tmp_path / f"{backwards}.tar", tmp_path / str(backwards)
        base.write_bytes(samples.tar(Exported(BASE.layers, backwards=backwards).layout()))
        make(spec, out, "--base", base)
        found.append(image(out))
    assert "443/tcp" in found[0][2]["config"]["ExposedPorts"]
    assert found[0] == found[1]


@pytest.mark.parametrize("size", [0, 1, 0xFFFF, 0x10000, 200_000])
@pytest.mark.parametrize("piece", [1000, 0x20000])
def test_a_layers_stream_is_gzip_that_depends_on_its_content_alone(size: int, piece: int) -> None:
    content = random.Random(1).randbytes(size)
    streams = [io.BytesIO(), io.BytesIO()]
    for stream, at_once in zip(streams, (piece, max(size, 1)), strict=True):
        with StoredGzip(stream) as packed:
            for start in range(0, size, at_once):
                packed.write(content[start : start + at_once])
        assert packed.content.hexdigest() == hashlib.sha256(content).hexdigest()
    assert streams[0].getvalue() == streams[1].getvalue()
    assert gzip.decompress(streams[0].getvalue()) == content


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    return printed.err.strip()


def test_a_base_for_another_architecture_is_refused(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "amd64.tar"
    base.write_bytes(Image(BASE.layers, architecture="amd64").archive())
    assert refusal(capsys, spec, tmp_path / "out", "--base", base) == (
        f"error: {base}: is for linux/amd64, not for linux/arm64"
    )


def without(name: str) -> bytes:
    """The base's archive, one of its members left out."""
    return samples.tar([file for file in BASE.layout() if not file.path.startswith(name)])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (samples.tar([File("a", b"")]), "neither index.json nor manifest.json: not an image archive"),
        (samples.tar([File("manifest.json", b"[]")]), "holds 0 images, one is expected"),
        (samples.tar([File("index.json", b'{"manifests": []}')]), "holds 0 images, one is expected"),
        (
            samples.tar([File("manifest.json", b'[{"Config": "x", "Layers": []}]')]),
            "x: the image names this file, which is not there",
        ),
        (without("blobs/"), "blobs/sha256/"),
    ],
)
def test_what_is_no_image_is_refused(
    content: bytes, reason: str, spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "base.tar"
    base.write_bytes(content)
    assert refusal(capsys, spec, tmp_path / "out", "--base", base).startswith(f"error: {base}: {reason}")


@pytest.mark.parametrize("packed", [False, True])
def test_a_layer_whose_name_is_no_digest_is_held_against_the_configuration(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], packed: bool
) -> None:
    layer, base = samples.tar([File("a", b"1")]), tmp_path / "base.tar"
    config = BASE.config([layer])
    manifest = json.dumps([{"Config": "config.json", "Layers": ["id/layer.tar"]}]).encode()

    def written(layer: bytes) -> list[object]:
        members = [File("config.json", config), File("id/layer.tar", samples.gz(layer) if packed else layer)]
        base.write_bytes(samples.tar([*members, File("manifest.json", manifest)]))
        return [spec, tmp_path / samples.sha(layer), "--base", base]

    assert refusal(capsys, *written(samples.tar([File("a", b"2")]))).startswith(
        f"error: {base}:id/layer.tar: its content has another digest"
    )
    make(*written(layer))


def test_links_are_refused(spec: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "assets/link").symlink_to("a.txt")
    assert refusal(capsys, spec, tmp_path / "out", "--root", root) == (
        "error: assets/link: is neither a file nor a folder, which is all that such an image holds"
    )


def test_a_folder_with_something_in_it_is_refused(
    spec: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, spec, root, "--root", root) == (
        f"error: {root}: is not empty: an OCI layout needs an empty folder"
    )
