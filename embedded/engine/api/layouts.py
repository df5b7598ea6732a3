"""Image archives on the host: BuildKit's made to look like Dagger's, and foreign ones unpacked as OCI layouts."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.engine.errors import EngineError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
CHUNK = 1 << 20


@dataclass(frozen=True)
class LayoutImage:
    """An image of one platform in a layout."""

    digest: str
    config: dict[str, Any]

    @property
    def platform(self) -> str:
        parts = [self.config.get("os", "linux"), self.config.get("architecture", "amd64")]
        return "/".join([*parts, *([self.config["variant"]] if self.config.get("variant") else [])])


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    archive.addfile(info, io.BytesIO(data))


def as_dagger_writes_it(source: Path, target: Path, tag: str = "") -> None:
    """Rewrite BuildKit's OCI archive: plain descriptors in `index.json`, and a `manifest.json` for Docker."""
    with tarfile.open(source, "r:") as old, tarfile.open(target, "w:") as new:
        index: dict[str, Any] = {}
        small: dict[str, bytes] = {}
        for member in old:
            data = old.extractfile(member)
            if member.name == "index.json":
                assert data is not None
                index = json.load(data)
                continue
            if data is not None and member.name.startswith("blobs/") and member.size < CHUNK:
                small[member.name.rpartition("/")[2]] = data.read()
                data.seek(0)
            member.mtime = 0
            new.addfile(member, data)
        for descriptor in index["manifests"]:
            for extra in ("platform", "annotations"):
                descriptor.pop(extra, None)
        _add(new, "index.json", json.dumps(index, sort_keys=True).encode())
        entries = [
            {
                "Config": _blob(manifest["config"]["digest"]),
                "RepoTags": [tag] if tag else None,
                "Layers": [_blob(layer["digest"]) for layer in manifest["layers"]],
            }
            for manifest in _manifests(index, small)
        ]
        _add(new, "manifest.json", json.dumps(entries).encode())


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _manifests(index: dict[str, Any], blobs: dict[str, bytes]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for descriptor in index["manifests"]:
        content = json.loads(blobs[descriptor["digest"].partition(":")[2]])
        found.extend(_manifests(content, blobs) if descriptor["mediaType"] in INDEXES else [content])
    return found


def unpack(archive: Path, folder: Path) -> list[LayoutImage]:
    """Unpack an OCI or a Docker archive as an OCI layout, and tell the images in it."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        cause = str(error)
        if cause.startswith("file could not be opened"):  # what follows is how each way of compression failed
            cause = "it is no tar archive, neither plain nor compressed"
        raise EngineError(f"the file {archive.name} is not an image archive: {cause}") from None
    if (folder / "index.json").exists():
        return _images_of(folder, json.loads((folder / "index.json").read_text()))
    if (folder / "manifest.json").exists():
        return [_from_docker(folder, entry) for entry in json.loads((folder / "manifest.json").read_text())]
    raise EngineError(f"the file {archive.name} is not an image archive: it has neither index.json nor manifest.json")


def _images_of(folder: Path, index: dict[str, Any]) -> list[LayoutImage]:
    images: list[LayoutImage] = []
    for descriptor in index.get("manifests", []):
        content = json.loads((folder / _blob(descriptor["digest"])).read_text())
        if descriptor.get("mediaType") in INDEXES or "manifests" in content:
            images.extend(_images_of(folder, content))
        else:
            config = json.loads((folder / _blob(content["config"]["digest"])).read_text())
            images.append(LayoutImage(descriptor["digest"], config))
    return images


def _from_docker(folder: Path, entry: dict[str, Any]) -> LayoutImage:
    """Give a docker archive's image (config and uncompressed layers as files) a manifest, in an OCI layout."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def store(path: Path, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        target = blobs / digest.hexdigest()
        if path.resolve() != target.resolve():
            shutil.copyfile(path, target)
        return {"mediaType": media_type, "digest": f"sha256:{digest.hexdigest()}", "size": target.stat().st_size}

    config = store(folder / entry["Config"], OCI_CONFIG)
    layers: list[dict[str, Any]] = []
    for name in entry["Layers"]:
        with (folder / name).open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
        layers.append(store(folder / name, OCI_LAYER + "+gzip" * gzipped))
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}
    text = json.dumps(manifest).encode()
    digest = hashlib.sha256(text).hexdigest()
    (blobs / digest).write_bytes(text)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return LayoutImage(f"sha256:{digest}", json.loads((folder / entry["Config"]).read_text()))
