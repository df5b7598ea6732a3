"""System extension images before they are packed: `/manifest.yaml` and `/rootfs/…`, as a folder or a tar."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from ci.inspect.content import ContentReader, read_content
from ci.inspect.errors import CorruptFileError, LimitExceededError
from ci.inspect.image import entry_of
from ci.inspect.manifest import parse_manifest
from ci.inspect.models import Entry, EntryType, ExtensionFacts
from ci.inspect.source import ByteStream, open_file, printable
from ci.inspect.tar import stream_members
from ci.inspect.texts import is_kept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.inspect.context import Context

_MANIFEST = "manifest.yaml"
_ROOTFS = "rootfs"

_TYPES: dict[int, EntryType] = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


def folder_entries(root: Path, name: str, context: Context) -> Iterator[tuple[Entry, Path]]:
    """Yield everything below a folder in the order of the paths; links are not followed, files not read."""
    stack = [("", root)]
    while stack:
        parent, folder = stack.pop()
        if parent.count("/") > context.limits.depth:
            raise LimitExceededError(name, parent[:80], f"deeper than {context.limits.depth}")
        below: list[tuple[str, Path]] = []
        with os.scandir(folder) as items:
            found = sorted(items, key=lambda item: item.name)
        for item in found:
            name_text = printable(item.name)
            path = f"{parent}/{name_text}" if parent else name_text
            context.count_entry(name, path)
            status = item.stat(follow_symlinks=False)
            kind = _TYPES[stat.S_IFMT(status.st_mode)]
            entry = Entry(
                path=path,
                type=kind,
                mode=stat.S_IMODE(status.st_mode),
                uid=status.st_uid,
                gid=status.st_gid,
                mtime=int(status.st_mtime),
                size=status.st_size if kind == "file" else 0,
                target=printable(str(Path(item.path).readlink())) if kind == "symlink" else None,
            )
            yield entry, Path(item.path)
            if kind == "directory":
                below.append((path, Path(item.path)))
        stack.extend(reversed(below))


class _Collector:
    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: list[Entry] = []
        self.strays: list[str] = []
        self.manifest: bytes | None = None
        self.texts: dict[str, str] = {}
        self.has_rootfs = False

    def add(self, entry: Entry) -> None:
        if entry.path == _ROOTFS:
            self.has_rootfs = entry.type == "directory"
        elif entry.path.startswith(f"{_ROOTFS}/"):
            self.has_rootfs = True
            self.entries.append(entry.model_copy(update={"path": entry.path.removeprefix(f"{_ROOTFS}/")}))
        elif entry.path != _MANIFEST:
            self.strays.append(entry.path)

    def finish(self) -> ExtensionFacts:
        if self.manifest is None:
            raise CorruptFileError(self.name, f"/{_MANIFEST}", "a system extension needs this file, it is missing")
        if not self.has_rootfs:
            raise CorruptFileError(self.name, f"/{_ROOTFS}", "a system extension needs this folder, it is missing")
        manifest = parse_manifest(f"{self.name}:/{_MANIFEST}", self.manifest)
        return ExtensionFacts(
            manifest_version=manifest.version,
            name=manifest.metadata.name,
            version=manifest.metadata.version,
            author=manifest.metadata.author,
            description=manifest.metadata.description.strip(),
            compatibility=manifest.metadata.compatibility.talos.version,
            entries=tuple(self.entries),
            strays=tuple(self.strays),
            texts=self.texts,
        )

    def wants(self, path: str, size: int, context: Context) -> bool:
        """Say whether the text of a file is kept."""
        return is_kept(path.removeprefix(f"{_ROOTFS}/")) and context.take_document(size)


def read_extension_folder(root: Path, name: str, context: Context) -> ExtensionFacts:
    """Return what an unpacked extension image holds; raises where manifest or root file system is missing."""
    collector = _Collector(name)
    for entry, path in folder_entries(root, name, context):
        if entry.type == "file":
            with open_file(path, f"{name}/{entry.path}") as source:
                if entry.path == _MANIFEST:
                    if source.size > context.limits.text:
                        raise LimitExceededError(source.name, "", f"a manifest of {source.size} bytes")
                    collector.manifest = source.read_at(0, source.size, "the manifest")
                if collector.wants(entry.path, source.size, context):
                    text = source.read_at(0, source.size, "a text").decode("utf-8", "replace")
                    collector.texts[entry.path.removeprefix(f"{_ROOTFS}/")] = text
                content = read_content(entry.path, source.chunks())
            found = {
                "sha256": content.sha256,
                "machine": content.machine,
                "vermagic": content.vermagic,
                "depends": content.depends,
            }
            collector.add(entry.model_copy(update=found))
        else:
            collector.add(entry)
    return collector.finish()


def read_extension_tar(stream: ByteStream, context: Context) -> ExtensionFacts:
    """Return what an extension image's exported file tree holds."""
    collector = _Collector(stream.name)
    for member, content in stream_members(stream, context):
        reader = ContentReader(member.path)
        pieces: list[bytes] = []
        if member.path == _MANIFEST and member.size > context.limits.text:
            raise LimitExceededError(stream.name, _MANIFEST, f"a manifest of {member.size} bytes")
        is_text = member.type == "file" and collector.wants(member.path, member.size, context)
        for chunk in content:
            reader.update(chunk)
            if is_text or member.path == _MANIFEST:
                pieces.append(chunk)
        if is_text:
            collector.texts[member.path.removeprefix(f"{_ROOTFS}/")] = b"".join(pieces).decode("utf-8", "replace")
        if member.path == _MANIFEST and member.type == "file":
            collector.manifest = b"".join(pieces)
        collector.add(entry_of(member, reader))
    return collector.finish()
