"""One reader of OCI layouts and docker archives: exactly one image, and every blob what its digest says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ci.inspect.errors import CorruptFileError, InspectError
from ci.inspect.oci import find_image, read_image
from ci.inspect.source import BytesSource
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File, Image

if TYPE_CHECKING:
    from ci.inspect.source import Source

IMAGE = Image([[File("a", b"1")], [File("b", b"2")]])
INDEX = "application/vnd.oci.image.index.v1+json"


def sources(files: list[File]) -> dict[str, Source]:
    return {file.path: BytesSource(file.path, file.data) for file in files}


def archive() -> list[File]:
    plain = [samples.tar(layer) for layer in IMAGE.layers]
    config = IMAGE.config(plain)
    manifest = [{"Config": f"{samples.sha(config)}.json", "Layers": [f"{samples.sha(layer)}.tar" for layer in plain]}]
    files = [File(f"{samples.sha(config)}.json", config)]
    files += [File(f"{samples.sha(layer)}.tar", layer) for layer in plain]
    return [*files, File("manifest.json", json.dumps(manifest).encode())]


@pytest.mark.parametrize(("files", "form"), [(IMAGE.layout(), "oci-layout"), (archive(), "docker-archive")])
def test_an_image_has_its_blobs_in_order_with_the_digests_that_they_claim(files: list[File], form: str) -> None:
    image = read_image("image", sources(files))
    assert (image.format, len(image.layers)) == (form, 2)
    assert all(blob.claimed == samples.sha(blob.source.read_at(0, blob.source.size, "")) for blob in image.blobs)


@pytest.mark.parametrize("files", [IMAGE.layout(), archive()], ids=["layout", "archive"])
def test_every_blob_is_held_against_its_digest(files: list[File]) -> None:
    for number, file in enumerate(files):
        if file.path in ("oci-layout", "index.json", "manifest.json"):
            continue
        changed = [*files[:number], File(file.path, file.data + b" "), *files[number + 1 :]]
        with pytest.raises(CorruptFileError, match=f"{file.path}: its bytes have another digest"):
            read_image("image", sources(changed))


def layout(**changes: Any) -> list[File]:
    """The layout with its one descriptor changed."""
    files = {file.path: file.data for file in IMAGE.layout()}
    index = json.loads(files["index.json"])
    index["manifests"][0] |= changes
    return [File(path, data) for path, data in {**files, "index.json": json.dumps(index).encode()}.items()]


def test_a_size_that_is_not_the_blobs_is_refused() -> None:
    with pytest.raises(CorruptFileError, match="bytes, 7 are claimed"):
        read_image("image", sources(layout(size=7)))


def test_an_index_in_the_index_is_followed_and_attestations_are_passed() -> None:
    files = {file.path: file.data for file in IMAGE.layout()}
    index = json.loads(files["index.json"])
    attestation = {**index["manifests"][0], "platform": {"os": "unknown", "architecture": "unknown"}}
    inner = json.dumps({"manifests": [*index["manifests"], attestation]}).encode()
    outer = {"manifests": [{"mediaType": INDEX, "digest": f"sha256:{samples.sha(inner)}", "size": len(inner)}]}
    files |= {f"blobs/sha256/{samples.sha(inner)}": inner, "index.json": json.dumps(outer).encode()}
    nested = [File(path, data) for path, data in files.items()]
    plain = read_image("image", sources(IMAGE.layout()))
    assert [blob.name for blob in read_image("image", sources(nested)).blobs] == [blob.name for blob in plain.blobs]
    files[f"blobs/sha256/{samples.sha(inner)}"] = inner + b" "
    with pytest.raises(CorruptFileError, match="its bytes have another digest"):
        find_image("image", sources([File(path, data) for path, data in files.items()]))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "neither index.json nor manifest.json: not an image archive"),
        ([File("index.json", b"{}")], "index.json: manifests: Field required"),
        ([File("index.json", b'{"manifests": []}')], "holds 0 images, one is expected"),
        (layout(digest="sha256:../../etc/passwd"), "manifests.0.digest: String should match pattern"),
        (layout(digest="md5:" + "0" * 64), "manifests.0.digest: String should match pattern"),
        ([File("index.json", json.dumps({"manifests": [{"digest": f"sha256:{'0' * 64}"}] * 2}).encode())], "holds 2"),
        ([File("manifest.json", b"[{}]")], "manifest.json: 0.Config: Field required"),
        ([File("manifest.json", b'"\xff"')], "no valid JSON"),
    ],
)
def test_what_is_not_one_image_is_refused(files: list[File], words: str) -> None:
    with pytest.raises(InspectError) as caught:
        read_image("image", sources(files))
    assert words in str(caught.value)
