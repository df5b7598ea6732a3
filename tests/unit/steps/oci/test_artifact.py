"""Disk images as an artifact: an OCI manifest whose layers are the files, as ORAS writes and reads them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from ci.common.arch import Arch
from ci.common.errors import UserError
from ci.common.oci import MANIFEST, ArtifactFile, ImageSpec
from ci.plan.images import DISKS_TYPE, KINDS, image_spec, labels, parse_disks
from ci.publish.address import Address
from ci.publish.client import Manifest, Registry
from ci.publish.publication import PublishedImage, PublishedPlatform, PublishedTag, publication_as
from ci.publish.push import Artifact, Image, Pusher
from ci.report.tables import Format
from ci.steps.oci.__main__ import main
from tests.unit.planning import plan_of, request
from tests.unit.publish.fake import FakeRegistry

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"oracle/oracle-arm64.qcow2": b"QFI\xfb" + bytes(5000), "checksums.sha256": b"0  oracle/oracle-arm64.qcow2\n"}
SPEC = ImageSpec(
    arch=Arch.ARM64,
    created=1_700_000_000,
    labels={"io.cozystack.talos.plan": "1" * 64},
    artifact_type=DISKS_TYPE,
    files=tuple(ArtifactFile(path=path, media_type="application/x") for path in FILES),
)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    for path, data in FILES.items():
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_bytes(data)
    (tmp_path / "spec.json").write_text(SPEC.model_dump_json())
    assert main([str(tmp_path / "spec.json"), str(tmp_path / "out"), "--root", str(tmp_path / "root")]) == 0
    return tmp_path / "out"


def blob(layout: Path, descriptor: dict[str, Any]) -> bytes:
    data = (layout / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (descriptor["size"], descriptor["digest"][7:])
    return data


def test_the_files_are_layers_with_their_paths(layout: Path) -> None:
    (described,) = json.loads((layout / "index.json").read_text())["manifests"]
    assert described["platform"] == {"architecture": "arm64", "os": "linux"}
    manifest = json.loads(blob(layout, described))
    assert manifest["artifactType"] == described["artifactType"] == DISKS_TYPE
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert blob(layout, manifest["config"]) == b"{}"
    assert {
        layer["annotations"]["org.opencontainers.image.title"]: blob(layout, layer) for layer in manifest["layers"]
    } == FILES
    assert manifest["annotations"] == SPEC.labels


async def test_a_registry_gets_the_files_and_what_is_attached_refers_to_them(layout: Path) -> None:
    (described,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = blob(layout, described)

    async def fetch() -> Path:
        return layout / "blobs/sha256"

    fake = FakeRegistry()
    registry = Registry(Address("registry.example", "lab"), None, transport=fake.transport, pauses=(0.0, 0.0))
    async with registry as client:
        pusher = Pusher(client, "lab/talos-disks")
        await pusher.image(Image(described, manifest, fetch))
        await pusher.artifact(described, Artifact("application/spdx+json", b"{}", {"a": "b"}))
        await pusher.tag("spin-only", Manifest(manifest, MANIFEST))
        there = await client.manifest("lab/talos-disks", "spin-only")
        assert there is not None
        assert there.content == manifest
        for layer in json.loads(manifest)["layers"]:
            path = layer["annotations"]["org.opencontainers.image.title"]
            assert await client.blob("lab/talos-disks", layer["digest"]) == FILES[path]
        assert [one["artifactType"] for one in await pusher.referrers(described["digest"])] == ["application/spdx+json"]


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.json").write_text(SPEC.model_dump_json())
    (tmp_path / "root").mkdir()
    assert main([str(tmp_path / "spec.json"), str(tmp_path / "out"), "--root", str(tmp_path / "root")]) == 1
    assert "oracle/oracle-arm64.qcow2" in capsys.readouterr().err


async def test_the_artifact_of_a_plan_has_its_files_checksums_and_what_it_is() -> None:
    kind = parse_disks(["gcp,oracle.qcow2"])
    assert (kind.name, kind.repository, kind.outputs) == ("disks", "talos-disks", ("gcp.raw.tar.gz", "oracle.qcow2"))
    plan = await plan_of(request(outputs=kind.outputs))
    spec = image_spec(plan, kind)
    assert [(file.path, file.media_type) for file in spec.files] == [
        ("gcp/gcp-arm64.raw.tar.gz", "application/gzip"),
        ("oracle/oracle-arm64.qcow2", "application/x-qemu-disk"),
        ("checksums.sha256", "text/plain"),
    ]
    assert (spec.artifact_type, spec.labels) == (DISKS_TYPE, labels(plan, kind, None))
    stand_in = image_spec(plan.model_copy(update={"stand_in": True}), kind)
    assert [file.path for file in stand_in.files][-2:] == ["checksums.sha256", "STAND-IN.txt"]


async def test_images_are_described_as_before() -> None:
    plan = await plan_of(request())
    assert set(json.loads(image_spec(plan, KINDS["assets"]).model_dump_json())) == {"arch", "created", "labels"}


@pytest.mark.parametrize("name", ["kernel", "uki", "aws.cmdline", "installer"])
def test_what_is_no_disk_image_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"is no disk image: --disk-images takes those, and ISOs, as ora"):
        parse_disks([name])


async def test_what_was_published_says_how_to_get_it() -> None:
    plan = await plan_of(request())
    one = PublishedPlatform(platform="linux/arm64", digest=f"sha256:{'1' * 64}", plan="2", referrers=())
    made = PublishedImage(
        image="disks",
        repository="registry.example.com/talos-disks",
        digest=f"sha256:{'1' * 64}",
        tags=(PublishedTag(tag="spin-only-v1.13.6-v1.6.2", before=None),),
        platforms=(one,),
    )
    text = " ".join(publication_as([made], plan, Format.TEXT).split())
    assert "note: `oras pull` with this reference gets the files sent:" in text.replace("nothing was sent", "sent")
    several = made.model_copy(update={"platforms": (one, one)})
    text = " ".join(publication_as([several], plan, Format.TEXT).split())
    assert "gets the files, with --platform linux/arm64 or linux/amd64" in text
