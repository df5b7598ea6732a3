"""The installer's base image, from the engine's tarball to the OCI layout that the imager finds its image in.

The imager (v1.11.3, v1.13.6) takes the first descriptor in `index.json` whose `platform` is linux and its own
architecture; Dagger's `as_tarball` writes descriptors without one. The imager believes the label, so it is put on only
after a look at the image's configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from ci.common.canonical import json_bytes
from ci.inspect.context import Context
from ci.inspect.source import Source, open_file
from ci.inspect.tar import list_members
from ci.steps.normalise.files import NormaliseError, read_json, written

if TYPE_CHECKING:
    from pathlib import Path

    from ci.common.arch import Arch

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


class _Descriptor(BaseModel):
    # A digest becomes a path: nothing but hexadecimal digits may stand in it.
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    mediaType: str  # noqa: N815 (the specification's name)


class _Index(BaseModel):
    manifests: list[_Descriptor]


class _Manifest(BaseModel):
    config: _Descriptor
    layers: list[_Descriptor]


class _Config(BaseModel):
    os: str
    architecture: str


def unpack_base_installer(path: Path, out: Path, arch: Arch) -> None:
    """Write the one image in an OCI tarball as an OCI layout: `oci-layout`, `index.json`, and its blobs, all checked.

    Raises where there is not exactly one image, a blob is missing or not what its digest says, or the image is for
    another platform than linux/`arch`.
    """
    with open_file(path) as archive:
        layout = _Layout(archive)
        image = layout.image(arch)
        if out.exists() and any(out.iterdir()):
            raise NormaliseError(str(out), "is not empty: an OCI layout needs a folder of its own")
        blobs = out / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        for folder in (out, out / "blobs", blobs):
            folder.chmod(0o755)
        for digest, blob in layout.blobs.items():
            with written(blobs / digest) as file:
                file.writelines(blob.chunks())
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [image]}
        for name, document in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", index)):
            with written(out / name) as file:
                file.write(json_bytes(document))


class _Layout:
    """An archive's files, and those blobs of theirs that were asked for, by digest."""

    def __init__(self, archive: Source) -> None:
        context = Context()
        self._archive = archive
        # Names that lead out of the archive end the listing; no name of the archive's becomes a path in any case.
        self._files = {
            member.path: archive.window(f"{archive.name}:{member.path}", member.offset, member.size)
            for member in list_members(archive, context)
            if member.type == "file"
        }
        self.blobs: dict[str, Source] = {}

    def image(self, arch: Arch) -> dict[str, Any]:
        """Return the image's descriptor with its platform, all blobs of the image looked at."""
        name = self._archive.name
        if "index.json" not in self._files:
            raise NormaliseError(name, "no index.json: not an OCI image tarball")
        descriptors = read_json(self._files["index.json"], _Index).manifests
        if len(descriptors) != 1 or descriptors[0].mediaType not in _MANIFESTS:
            found = ", ".join(descriptor.mediaType for descriptor in descriptors) or "nothing"
            raise NormaliseError(name, f"index.json has to name exactly one image manifest, it names {found}")
        source = self._blob(descriptors[0])
        manifest = read_json(source, _Manifest)
        config = read_json(self._blob(manifest.config), _Config)
        is_for, wanted = f"{config.os}/{config.architecture}", arch.platform
        if is_for != wanted:
            raise NormaliseError(name, f"the image is for {is_for}, the installer is built for {wanted}")
        for layer in manifest.layers:
            self._blob(layer)
        return {
            "mediaType": descriptors[0].mediaType,
            "digest": descriptors[0].digest,
            "size": source.size,
            "platform": {"os": config.os, "architecture": config.architecture},
        }

    def _blob(self, descriptor: _Descriptor) -> Source:
        digest = descriptor.digest.removeprefix("sha256:")
        if digest not in self.blobs:
            source = self._files.get(f"blobs/sha256/{digest}")
            if source is None:
                raise NormaliseError(self._archive.name, f"the blob {descriptor.digest} is not there")
            if source.sha256() != digest:
                raise NormaliseError(source.name, "its bytes have another digest")
            self.blobs[digest] = source
        return self.blobs[digest]
