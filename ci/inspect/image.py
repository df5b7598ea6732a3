"""Container images in files: docker archives (`docker save`, Talos's installer) and OCI layouts, as tar or folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ci.inspect.blobs import blob_of, claimed_digest
from ci.inspect.compression import compression_of, expand
from ci.inspect.content import ContentReader, watched
from ci.inspect.errors import CorruptFileError, LimitExceededError, UnsupportedFileError
from ci.inspect.models import Entry, ImageFacts, ImageLayer, Inspection
from ci.inspect.source import ByteStream, Source
from ci.inspect.tar import Member, stream_members

if TYPE_CHECKING:
    from ci.inspect.context import Context

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")

#: Given the path and a source, reads a file inside the image.
Nested = Callable[[str, Source], Inspection]


class _Json(BaseModel):
    # Registries and builders add fields of their own.
    model_config = ConfigDict(extra="ignore")


class _Platform(_Json):
    architecture: str = ""
    os: str = ""


class _Descriptor(_Json):
    digest: str
    mediaType: str = ""  # noqa: N815 (the specification's name)
    platform: _Platform | None = None
    annotations: dict[str, str] = {}


class _Index(_Json):
    manifests: list[_Descriptor] = []


class _Manifest(_Json):
    config: _Descriptor
    layers: list[_Descriptor]


class _ArchiveImage(_Json):
    Config: str
    RepoTags: list[str] | None = None
    Layers: list[str]


class _RunConfig(_Json):
    Labels: dict[str, str] | None = None
    Env: list[str] | None = None
    Entrypoint: list[str] | None = None


class _RootFs(_Json):
    diff_ids: list[str] = []


class _Config(_Json):
    architecture: str
    os: str = ""
    created: str | None = None
    config: _RunConfig | None = Field(default=None)
    rootfs: _RootFs = _RootFs()


_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class _Found:
    """An image's parts by the names of their blobs."""

    format: Literal["docker-archive", "oci-layout"]
    config: str
    layers: list[str]
    tags: list[str]


def _json(source: Source, context: Context) -> Any:
    if source.size > context.limits.text:
        raise LimitExceededError(source.name, "", f"a document of {source.size} bytes (limit {context.limits.text})")
    try:
        return json.loads(source.read_at(0, source.size, "the document"))
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(source.name, "", f"no valid JSON: {error}") from error


def _parse(source: Source, model: type[_Model], value: Any) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise CorruptFileError(source.name, ".".join(map(str, first["loc"])) or "document", first["msg"]) from error


class _Blobs:
    def __init__(self, name: str, blobs: Mapping[str, Source], context: Context) -> None:
        self.name = name
        self._blobs = blobs
        self._context = context

    def get(self, blob: str) -> Source:
        if blob not in self._blobs:
            raise CorruptFileError(self.name, blob, "the image names this blob, but it isn't there")
        return self._blobs[blob]

    def read(self, blob: str, model: type[_Model]) -> _Model:
        source = self.get(blob)
        return _parse(source, model, _json(source, self._context))

    def find(self) -> _Found:
        if "oci-layout" in self._blobs or "index.json" in self._blobs:
            return self._layout()
        source = self.get("manifest.json")
        images = _json(source, self._context)
        if not isinstance(images, list) or len(images) != 1:  # type: ignore[arg-type]
            raise UnsupportedFileError(source.name, "", "an archive of exactly one image is wanted")
        image = _parse(source, _ArchiveImage, images[0])
        return _Found("docker-archive", image.Config, image.Layers, image.RepoTags or [])

    def _layout(self) -> _Found:
        descriptors = self._images("index.json", 0)
        if len(descriptors) != 1:
            platforms = ", ".join(f"{d.platform.os}/{d.platform.architecture}" for d in descriptors if d.platform)
            raise UnsupportedFileError(
                self.name, "index.json", f"a layout of exactly one image is wanted, here are {platforms or 'none'}"
            )
        manifest = self.read(blob_of(descriptors[0].digest), _Manifest)
        tag = descriptors[0].annotations.get("org.opencontainers.image.ref.name")
        layers = [blob_of(layer.digest) for layer in manifest.layers]
        return _Found("oci-layout", blob_of(manifest.config.digest), layers, [tag] if tag else [])

    def _images(self, blob: str, depth: int) -> list[_Descriptor]:
        if depth > 3:
            raise LimitExceededError(self.name, blob, "an index in an index in an index")
        found: list[_Descriptor] = []
        for descriptor in self.read(blob, _Index).manifests:
            if descriptor.mediaType in _INDEXES:
                found += self._images(blob_of(descriptor.digest), depth + 1)
            # Builders put attestations beside images, as images of an unknown platform.
            elif descriptor.platform is None or descriptor.platform.os != "unknown":
                found.append(descriptor)
        return found


@dataclass
class _Tree:
    """The merged files of the layers so far."""

    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    contents: dict[str, Inspection] = field(default_factory=dict[str, Inspection])

    def add(self, entry: Entry) -> None:
        folder, _, base = entry.path.rpartition("/")
        prefix = f"{folder}/" if folder else ""
        if base == ".wh..wh..opq":
            self._remove_below(prefix)
        elif base.startswith(".wh."):
            self.remove(prefix + base.removeprefix(".wh."))
        else:
            if entry.type != "directory":
                self.remove(entry.path)
            self.entries[entry.path] = entry

    def remove(self, path: str) -> None:
        known = self.entries.pop(path, None)
        self.contents.pop(path, None)
        if known is not None and known.type == "directory":
            self._remove_below(f"{path}/")

    def _remove_below(self, prefix: str) -> None:
        for path in [path for path in self.entries if path.startswith(prefix)]:
            self.entries.pop(path, None)
            self.contents.pop(path, None)


def _wants_reading(path: str, head: bytes) -> bool:
    return head[:2] == b"MZ" or path.startswith("usr/install/")


class _LayerReader:
    def __init__(self, blob: str, source: Source, tree: _Tree, nested: Nested, context: Context) -> None:
        self._blob = blob
        self._source = source
        self._tree = tree
        self._nested = nested
        self._context = context
        self._diff = hashlib.sha256()

    def _expanded(self, compression: Literal["none", "zstd", "gzip"]) -> Iterator[bytes]:
        chunks = self._source.chunks() if compression == "none" else expand(self._source, compression, self._context)
        for chunk in chunks:
            self._diff.update(chunk)
            yield chunk

    def read(self) -> ImageLayer:
        kind = compression_of(self._source.read_up_to(0, 8))
        if kind == "xz":
            raise UnsupportedFileError(self._source.name, "", "a layer compressed with xz; images know gzip and zstd")
        compression = kind or "none"
        stream = ByteStream(self._source.name, self._expanded(compression))
        entries: list[Entry] = []
        for member, content in stream_members(stream, self._context):
            entry = self._entry(member, content)
            entries.append(entry)
        stream.drain()
        return ImageLayer(
            blob=self._blob,
            compression=compression,
            size=self._source.size,
            sha256=self._source.sha256(),
            diff_id=self._diff.hexdigest(),
            entries=tuple(entries),
        )

    def _entry(self, member: Member, content: Iterator[bytes]) -> Entry:
        reader = ContentReader(member.path)
        inner: Inspection | None = None
        if member.type == "file":
            passing = watched(reader, content)
            first = next(passing, b"")
            if _wants_reading(member.path, first):
                name = f"{self._source.name}:{member.path}"
                with self._context.spool(name, _chain(first, passing)) as source:
                    source.is_known(reader.sha256)
                    inner = self._nested(member.path, source)
            else:
                for _ in passing:
                    pass
        entry = entry_of(member, reader)
        self._tree.add(entry)
        if inner is not None:
            self._tree.contents[member.path] = inner
        return entry


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def entry_of(member: Member, reader: ContentReader) -> Entry:
    """Returns a tar member as an entry, with what was noted of its content."""
    found = reader.finish() if member.type == "file" else None
    return Entry(
        path=member.path,
        type=member.type,
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        mtime=member.mtime,
        size=member.size,
        target=member.target,
        sha256=found.sha256 if found else None,
        machine=found.machine if found else None,
        vermagic=found.vermagic if found else None,
        depends=found.depends if found else None,
    )


def inspect_image(
    name: str, blobs: Mapping[str, Source], nested: Nested, context: Context
) -> tuple[ImageFacts, tuple[Inspection, ...]]:
    """Returns what an image is, from its blobs by name; boot files in its layers are read by `nested`."""
    store = _Blobs(name, blobs, context)
    found = store.find()
    if len(found.layers) > context.limits.layers:
        raise LimitExceededError(name, "", f"{len(found.layers)} layers (limit {context.limits.layers})")
    config_source = store.get(found.config)
    config = store.read(found.config, _Config)
    run = config.config or _RunConfig()
    tree = _Tree()
    layers = [_LayerReader(blob, store.get(blob), tree, nested, context).read() for blob in found.layers]
    claimed = {blob: digest for blob in [found.config, *found.layers] if (digest := claimed_digest(blob))}
    facts = ImageFacts(
        format=found.format,
        tags=tuple(found.tags),
        architecture=config.architecture,
        os=config.os,
        created=config.created,
        labels=run.Labels or {},
        env=tuple(run.Env or ()),
        entrypoint=tuple(run.Entrypoint or ()),
        diff_ids=tuple(digest.removeprefix("sha256:") for digest in config.rootfs.diff_ids),
        config_sha256=config_source.sha256(),
        claimed=claimed,
        layers=tuple(layers),
        entries=tuple(tree.entries[path] for path in sorted(tree.entries)),
    )
    return facts, tuple(tree.contents[path] for path in sorted(tree.contents))
