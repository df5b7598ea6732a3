"""OCI layouts and docker archives: which blobs an image consists of, each held against its digest.

A docker archive is what `docker save` and Talos's imager write; its blobs' names are their digests, or claim none.
Formats: the OCI image specification (image-layout, index, manifest), and the Docker image specification v1.2.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from ci.inspect.errors import CorruptFileError, LimitExceededError, UnsupportedFileError
from ci.inspect.limits import LIMITS
from ci.inspect.tar import list_members

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.inspect.context import Context
    from ci.inspect.source import Source

LAYOUT, INDEX, ARCHIVE = "oci-layout", "index.json", "manifest.json"

_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_DEEPEST: Final = 3

_NAMED: Final = re.compile(r"(?:^|[/:])([0-9a-f]{64})(?:\.tar(?:\.gz)?|\.json)?$")

_Model = TypeVar("_Model", bound=BaseModel)


class _Json(BaseModel):
    # Registries and builders add fields of their own.
    model_config = ConfigDict(extra="ignore")


class _Platform(_Json):
    architecture: str = ""
    os: str = ""


class Descriptor(_Json):
    """What names a blob."""

    # A digest becomes a path: nothing but hexadecimal digits may be in it.
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    mediaType: str = ""  # noqa: N815 (the specification's name)
    size: int | None = None
    platform: _Platform | None = None
    annotations: dict[str, str] = {}

    @property
    def blob(self) -> str:
        """Return where a layout has the blob."""
        return "blobs/" + self.digest.replace(":", "/", 1)


class _Index(_Json):
    manifests: list[Descriptor]


class _Manifest(_Json):
    config: Descriptor
    layers: list[Descriptor]


class _Archived(_Json):
    Config: str
    RepoTags: list[str] | None = None
    Layers: list[str]


class _Archive(RootModel[list[_Archived]]):
    pass


@dataclass(frozen=True)
class Blob:
    """A part of an image, and the digest that it is declared to have."""

    name: str
    source: Source
    #: In hexadecimal; `None` where nothing claims one.
    claimed: str | None
    size: int | None = None

    @property
    def problem(self) -> str | None:
        """Return what is wrong with its bytes, which are all read for it."""
        if self.claimed is not None and self.source.sha256() != self.claimed:
            return f"its bytes have another digest, {self.source.sha256()}"
        if self.size is not None and self.size != self.source.size:
            return f"it has {self.source.size} bytes, {self.size} are claimed"
        return None


@dataclass(frozen=True)
class ImageFile:
    """The one image in a layout or an archive."""

    format: Literal["docker-archive", "oci-layout"]
    tags: tuple[str, ...]
    config: Blob
    layers: tuple[Blob, ...]
    #: Of a layout: what names the manifest, and the manifest.
    descriptor: Descriptor | None = None
    manifest: Blob | None = None

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Return all blobs, in the order in which they are found."""
        return (*([self.manifest] if self.manifest else []), self.config, *self.layers)


def files_of(archive: Source, context: Context) -> dict[str, Source]:
    """Return the files of a tar by their names."""
    files: dict[str, Source] = {}
    for member in list_members(archive, context):
        if member.type == "file":
            files[member.path] = archive.window(f"{archive.name}:{member.path}", member.offset, member.size)
        else:
            files.pop(member.path, None)
    return files


def read_image(name: str, files: Mapping[str, Source]) -> ImageFile:
    """Return the one image that files hold; raises where a blob is not what its digest says."""
    image = find_image(name, files)
    for blob in image.blobs:
        if problem := blob.problem:
            raise CorruptFileError(blob.source.name, "", problem)
    return image


def find_image(name: str, files: Mapping[str, Source]) -> ImageFile:
    """Return the one image that files hold, its manifest checked, but not what the manifest names.

    This is for who shows wrong digests instead of refusing them. Everybody else asks `read_image`.
    """
    return _Finder(name, files).find()


def parse_json(source: Source, model: type[_Model]) -> _Model:
    """Return the JSON document that a source holds; raises with the place in it that is not as `model` says."""
    if source.size > LIMITS.text:
        raise LimitExceededError(source.name, "", f"a document of {source.size} bytes (limit {LIMITS.text})")
    try:
        value: Any = json.loads(source.read_at(0, source.size, "the document"))
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(source.name, "", f"no valid JSON: {error}") from error
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise CorruptFileError(source.name, ".".join(map(str, first["loc"])) or "document", first["msg"]) from error


class _Finder:
    def __init__(self, name: str, files: Mapping[str, Source]) -> None:
        self._name = name
        self._files = files

    def find(self) -> ImageFile:
        if LAYOUT in self._files or INDEX in self._files:
            return self._in_layout()
        if ARCHIVE not in self._files:
            raise UnsupportedFileError(self._name, "", f"neither {INDEX} nor {ARCHIVE}: not an image archive")
        images = parse_json(self._files[ARCHIVE], _Archive).root
        if len(images) != 1:
            raise UnsupportedFileError(self._name, "", f"holds {len(images)} images, one is expected")
        names = [images[0].Config, *images[0].Layers]
        config, *layers = [Blob(blob, self._file(blob), _claimed(blob)) for blob in names]
        return ImageFile("docker-archive", tuple(images[0].RepoTags or ()), config, tuple(layers))

    def _in_layout(self) -> ImageFile:
        descriptors = self._descriptors(self._file(INDEX), 0)
        if len(descriptors) != 1:
            platforms = ", ".join(f"{d.platform.os}/{d.platform.architecture}" for d in descriptors if d.platform)
            which = f" ({platforms})" if platforms else ""
            raise UnsupportedFileError(self._name, "", f"holds {len(descriptors)} images{which}, one is expected")
        manifest = self._checked(descriptors[0])
        named = parse_json(manifest.source, _Manifest)
        tag = descriptors[0].annotations.get("org.opencontainers.image.ref.name")
        return ImageFile(
            "oci-layout",
            (tag,) if tag else (),
            self._blob(named.config),
            tuple(self._blob(layer) for layer in named.layers),
            descriptors[0],
            manifest,
        )

    def _descriptors(self, index: Source, depth: int) -> list[Descriptor]:
        if depth > _DEEPEST:
            raise LimitExceededError(self._name, index.name, "an index in an index in an index")
        found: list[Descriptor] = []
        for descriptor in parse_json(index, _Index).manifests:
            if descriptor.mediaType in _INDEXES:
                found += self._descriptors(self._checked(descriptor).source, depth + 1)
            # Builders put attestations next to images, as images of an unknown platform.
            elif descriptor.platform is None or descriptor.platform.os != "unknown":
                found.append(descriptor)
        return found

    def _checked(self, descriptor: Descriptor) -> Blob:
        blob = self._blob(descriptor)
        if problem := blob.problem:
            raise CorruptFileError(blob.source.name, "", problem)
        return blob

    def _blob(self, descriptor: Descriptor) -> Blob:
        source = self._file(descriptor.blob)
        return Blob(descriptor.blob, source, descriptor.digest.removeprefix("sha256:"), descriptor.size)

    def _file(self, blob: str) -> Source:
        if blob not in self._files:
            raise CorruptFileError(self._name, blob, "the image names this file, which is not there")
        return self._files[blob]


def _claimed(blob: str) -> str | None:
    """Return the digest that a name in a docker archive claims, if it is one of the usual names."""
    found = _NAMED.search(blob)
    return found[1] if found else None
