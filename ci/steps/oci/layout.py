"""Writing an image as an OCI layout: `oci-layout`, `index.json`, and its blobs under their digests."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from ci.common.canonical import json_bytes, timestamp
from ci.common.oci import CONFIG, EMPTY, INDEX, LAYER, MANIFEST, TITLE
from ci.inspect.source import open_file
from ci.steps.normalise.files import NormaliseError, written
from ci.steps.oci.base import Base, read_base
from ci.steps.oci.layers import layers_of, write_layer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ci.common.oci import ImageSpec

Descriptor = dict[str, Any]


class _Blobs:
    def __init__(self, out: Path) -> None:
        self._folder = out / "blobs" / "sha256"
        self._folder.mkdir(parents=True)
        for folder in (out, out / "blobs", self._folder):
            folder.chmod(0o755)

    def add(self, media_type: str, write: Callable[[BinaryIO], object]) -> Descriptor:
        """Keep what is written under its digest, and return the descriptor."""
        part = self._folder / "part"
        with written(part) as file:
            write(file)
        with open_file(part) as content:
            digest, size = content.sha256(), content.size
        part.replace(self._folder / digest)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def write_image(spec: ImageSpec, out: Path, base: Path | None = None, root: Path | None = None) -> None:
    """Write an image: a base's layers if there is one, then a folder's files if there is one."""
    if out.exists() and any(out.iterdir()):
        raise NormaliseError(str(out), "is not empty: an OCI layout needs an empty folder")
    blobs = _Blobs(out)
    if spec.artifact_type:
        image = _artifact(spec, blobs, root or out)
    elif base is None:
        image = _image(spec, blobs, Base(None, {}, {}, []), root)
    else:
        with open_file(base) as archive:
            image = _image(spec, blobs, read_base(archive, spec.arch), root)
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [image]}
    for name, document in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", index)):
        with written(out / name) as file:
            file.write(json_bytes(document))


def _image(spec: ImageSpec, blobs: _Blobs, base: Base, root: Path | None) -> Descriptor:
    platform = {"architecture": spec.arch.value, "os": "linux"}
    if base.variant:
        platform["variant"] = base.variant
    layers: list[Descriptor] = []
    diff_ids: list[str] = []
    for layer in base.layers:
        chunks = layer.content.chunks()
        layers.append(blobs.add(layer.media_type, lambda file, chunks=chunks: file.writelines(chunks)))
        diff_ids.append(layer.diff_id)
    if root is not None:
        for files in layers_of(root):
            content: list[str] = []
            write = partial(write_layer, root, files, spec.created, content)
            layers.append(blobs.add(f"{LAYER}+gzip", write))
            diff_ids += content
    config = {
        "created": timestamp(spec.created),
        **platform,
        "config": {**base.run, "Labels": dict(sorted({**base.labels, **spec.labels}.items()))},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blobs.add(CONFIG, lambda file: file.write(json_bytes(config))),
        "layers": layers,
        "annotations": dict(sorted(spec.labels.items())),
    }
    return {**blobs.add(MANIFEST, lambda file: file.write(json_bytes(manifest))), "platform": platform}


def _artifact(spec: ImageSpec, blobs: _Blobs, root: Path) -> Descriptor:
    """Write an artifact as ORAS has them: each file is a layer with its path, and there is no configuration."""
    layers: list[Descriptor] = []
    for file in spec.files:
        with open_file(root / file.path, file.path) as source:
            chunks = source.chunks()
            layer = blobs.add(file.media_type, lambda out, chunks=chunks: out.writelines(chunks))
        layers.append({**layer, "annotations": {TITLE: file.path}})
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": spec.artifact_type,
        "config": blobs.add(EMPTY, lambda file: file.write(b"{}")),
        "layers": layers,
        "annotations": dict(sorted(spec.labels.items())),
    }
    described = blobs.add(MANIFEST, lambda file: file.write(json_bytes(manifest)))
    platform = {"architecture": spec.arch.value, "os": "linux"}
    return {**described, "artifactType": spec.artifact_type, "platform": platform}
