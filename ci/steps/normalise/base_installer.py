"""The installer's base image, from the engine's tarball to the OCI layout that the imager finds its image in.

The imager (v1.11.3, v1.13.6) takes the first descriptor in `index.json` whose `platform` is linux and its own
architecture; Dagger's `as_tarball` writes descriptors without one. The imager believes the label, so it is put on only
after a look at the image's configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ci.common.canonical import json_bytes
from ci.common.oci import INDEX, MANIFEST
from ci.inspect.context import Context
from ci.inspect.oci import INDEX as INDEX_JSON
from ci.inspect.oci import files_of, parse_json, read_image
from ci.inspect.source import open_file
from ci.steps.normalise.files import NormaliseError, written

if TYPE_CHECKING:
    from pathlib import Path

    from ci.common.arch import Arch
    from ci.inspect.oci import ImageFile
    from ci.inspect.source import Source

_MANIFESTS = (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")


class _Config(BaseModel):
    os: str
    architecture: str


def unpack_base_installer(path: Path, out: Path, arch: Arch) -> None:
    """Write the one image in an OCI tarball as an OCI layout: `oci-layout`, `index.json`, and its blobs, all checked.

    Raises where there is not exactly one image, a blob is missing or not what its digest says, or the image is for
    another platform than linux/`arch`.
    """
    with open_file(path) as archive:
        image = read_image(archive.name, _layout_in(archive))
        descriptor = _described(archive.name, image, arch)
        if out.exists() and any(out.iterdir()):
            raise NormaliseError(str(out), "is not empty: an OCI layout needs an empty folder")
        blobs = out / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        for folder in (out, out / "blobs", blobs):
            folder.chmod(0o755)
        for blob in {blob.claimed or "": blob for blob in image.blobs}.values():
            with written(blobs / (blob.claimed or "")) as file:
                file.writelines(blob.source.chunks())
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]}
        for name, document in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", index)):
            with written(out / name) as file:
                file.write(json_bytes(document))


def _layout_in(archive: Source) -> dict[str, Source]:
    # Names that lead out of the archive end the listing; no name of the archive's becomes a path in any case.
    files = files_of(archive, Context())
    if INDEX_JSON not in files:
        raise NormaliseError(archive.name, f"no {INDEX_JSON}: not an OCI image tarball")
    return files


def _described(name: str, image: ImageFile, arch: Arch) -> dict[str, Any]:
    """Return the image's descriptor with its platform."""
    assert image.descriptor is not None
    assert image.manifest is not None
    if image.descriptor.mediaType not in _MANIFESTS:
        raise NormaliseError(name, f"its manifest is of the unknown type {image.descriptor.mediaType}")
    config = parse_json(image.config.source, _Config)
    is_for, wanted = f"{config.os}/{config.architecture}", arch.platform
    if is_for != wanted:
        raise NormaliseError(name, f"the image is for {is_for}, the installer is built for {wanted}")
    return {
        "mediaType": image.descriptor.mediaType,
        "digest": image.descriptor.digest,
        "size": image.manifest.source.size,
        "platform": {"os": config.os, "architecture": config.architecture},
    }
