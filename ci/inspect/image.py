"""Container images in files: docker archives (`docker save`, Talos's installer) and OCI layouts, as tar or folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from ci.inspect.compression import compression_of, expand
from ci.inspect.content import ContentReader, watched
from ci.inspect.errors import LimitExceededError, UnsupportedFileError
from ci.inspect.kinds import HEAD, kind_of_head
from ci.inspect.models import Entry, ImageFacts, ImageLayer, Inspection
from ci.inspect.oci import find_image, parse_json
from ci.inspect.source import ByteStream, Source
from ci.inspect.tar import TarMember, stream_members

if TYPE_CHECKING:
    from ci.inspect.context import Context

#: Given the path and a source, reads a file inside the image.
Nested = Callable[[str, Source], Inspection]


class _Json(BaseModel):
    # Registries and builders add fields of their own.
    model_config = ConfigDict(extra="ignore")


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
    return kind_of_head(head[:HEAD]) == "pe" or path.startswith("usr/install/")


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

    def _entry(self, member: TarMember, content: Iterator[bytes]) -> Entry:
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
        if inner is not None and inner.unsigned:
            entry = entry.model_copy(update={"sha256": inner.sha256})
        self._tree.add(entry)
        if inner is not None:
            self._tree.contents[member.path] = inner
        return entry


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def entry_of(member: TarMember, reader: ContentReader) -> Entry:
    """Return a tar member as an entry, with what was noted of its content."""
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
    name: str, files: Mapping[str, Source], nested: Nested, context: Context
) -> tuple[ImageFacts, tuple[Inspection, ...]]:
    """Return what an image is, from its files by name; boot files in its layers are read by `nested`."""
    found = find_image(name, files)
    if len(found.layers) > context.limits.layers:
        raise LimitExceededError(name, "", f"{len(found.layers)} layers (limit {context.limits.layers})")
    config = parse_json(found.config.source, _Config)
    run = config.config or _RunConfig()
    tree = _Tree()
    layers = [_LayerReader(blob.name, blob.source, tree, nested, context).read() for blob in found.layers]
    claimed = {blob.name: blob.claimed for blob in [found.config, *found.layers] if blob.claimed}
    facts = ImageFacts(
        format=found.format,
        tags=found.tags,
        architecture=config.architecture,
        os=config.os,
        created=config.created,
        labels=run.Labels or {},
        env=tuple(run.Env or ()),
        entrypoint=tuple(run.Entrypoint or ()),
        diff_ids=tuple(digest.removeprefix("sha256:") for digest in config.rootfs.diff_ids),
        config_sha256=found.config.source.sha256(),
        claimed=claimed,
        layers=tuple(layers),
        entries=tuple(tree.entries[path] for path in sorted(tree.entries)),
    )
    return facts, tuple(tree.contents[path] for path in sorted(tree.contents))
