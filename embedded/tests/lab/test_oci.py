from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from embedded.lab.oci import LAYER, Blobs, Platform
from embedded.lab.tree import File, Folder, Link, Tree


def tar_of(tree: Tree) -> io.BytesIO:
    content = io.BytesIO()
    tree.write(content)
    content.seek(0)
    return content


def test_equal_trees_give_equal_layers(tmp_path: Path) -> None:
    one = Tree().text("b", "2").text("a/x", "1")
    other = Tree().text("a/x", "1").text("b", "2")
    first = Blobs(tmp_path / "1").put_layer(tar_of(one))
    second = Blobs(tmp_path / "2").put_layer(tar_of(other))
    assert first == second
    assert first.blob.media_type == LAYER


def test_layer_is_named_by_its_digests(tmp_path: Path) -> None:
    blobs, plain = Blobs(tmp_path), tar_of(Tree().text("a", "1")).getvalue()
    layer = blobs.put_layer(io.BytesIO(plain))
    packed = blobs.path(layer.blob.digest).read_bytes()
    assert layer.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert layer.blob.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.blob.size == len(packed)
    assert gzip.decompress(packed) == plain


def test_cut_layer_ends_in_the_middle_of_its_stream(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    layer = blobs.put_layer(tar_of(Tree().text("a", "1" * 100_000)), cut=60)
    packed = blobs.path(layer.blob.digest).read_bytes()
    assert len(packed) == layer.blob.size == 60
    with pytest.raises(EOFError):
        gzip.decompress(packed)


def test_index_names_both_platforms_and_marks_stand_ins(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    layer = blobs.put_layer(tar_of(Tree().text("a", "1")))
    platforms = [Platform(name, [layer], {"Cmd": ["a"], "Labels": {"own": "1"}}) for name in ("amd64", "arm64")]
    image = blobs.put_image(platforms, description="a thing")
    index = json.loads(blobs.path(image.top.digest).read_bytes())
    assert [entry["platform"] for entry in index["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]
    manifest = json.loads(blobs.path(index["manifests"][1]["digest"]).read_bytes())
    config = json.loads(blobs.path(manifest["config"]["digest"]).read_bytes())
    marks = {"io.cozystack.talos.stand-in": "true", "org.opencontainers.image.description": "STAND-IN: a thing"}
    assert index["annotations"] == manifest["annotations"] == marks
    assert config["config"] == {"Cmd": ["a"], "Labels": {"own": "1", **marks}}
    assert config["architecture"] == "arm64"
    assert config["rootfs"]["diff_ids"] == [layer.diff_id]


def test_single_image_has_no_index(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    layer = blobs.put_layer(tar_of(Tree()))
    image = blobs.put_image([Platform("amd64", [layer])], description="x", single=True)
    assert image.top.media_type == "application/vnd.oci.image.manifest.v1+json"
    assert image.manifests == (image.top,)


def test_attestations_are_manifests_of_no_platform(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    layer = blobs.put_layer(tar_of(Tree()))
    image = blobs.put_image([Platform("amd64", [layer])], description="x", attested=True)
    plain, attestation = json.loads(blobs.path(image.top.digest).read_bytes())["manifests"]
    assert "annotations" not in plain
    assert attestation["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert attestation["annotations"] == {
        "vnd.docker.reference.digest": plain["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    }
    manifest = json.loads(blobs.path(attestation["digest"]).read_bytes())
    (statement,) = manifest["layers"]
    assert statement["mediaType"] == "application/vnd.in-toto+json"
    subject = json.loads(blobs.path(statement["digest"]).read_bytes())["subject"]
    assert [one["digest"] for one in subject] == [{"sha256": plain["digest"].removeprefix("sha256:")}]
    assert {blob.digest for blob in image.blobs} >= {statement["digest"], manifest["config"]["digest"]}
    assert [one.digest for one in image.manifests] == [plain["digest"], attestation["digest"], image.top.digest]


def test_blob_that_lost_bytes_is_not_there(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    blob = blobs.put(b"content", "text/plain")
    assert blobs.has(blob)
    blobs.path(blob.digest).write_bytes(b"cont")
    assert not blobs.has(blob)


def test_tree_is_sorted_complete_and_owned_by_root(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "run").write_text("x")
    (source / "run").chmod(0o775)
    (source / "link").symlink_to("run")
    (source / "skipped").mkdir()
    tree = Tree().add("tmp", Folder(0o1777)).add("z", File(b"", 0)).copy(source, "usr/bin", skip=frozenset({"skipped"}))
    with tarfile.open(fileobj=tar_of(tree)) as tar:
        found = [(m.name, m.type, oct(m.mode), m.linkname, m.uid, m.gid, m.mtime) for m in tar.getmembers()]
    assert found == [
        ("tmp", tarfile.DIRTYPE, "0o1777", "", 0, 0, 1767225600),
        ("usr", tarfile.DIRTYPE, "0o755", "", 0, 0, 1767225600),
        ("usr/bin", tarfile.DIRTYPE, "0o755", "", 0, 0, 1767225600),
        ("usr/bin/link", tarfile.SYMTYPE, "0o777", "run", 0, 0, 1767225600),
        ("usr/bin/run", tarfile.REGTYPE, "0o755", "", 0, 0, 1767225600),
        ("z", tarfile.REGTYPE, "0o0", "", 0, 0, 1767225600),
    ]


def test_link_reaches_the_tar_as_a_link() -> None:
    with tarfile.open(fileobj=tar_of(Tree().add("bin", Link("usr/bin")))) as tar:
        assert tar.getmember("bin").linkname == "usr/bin"
