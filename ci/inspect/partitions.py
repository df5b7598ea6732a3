"""What partitions hold: names and contents of file systems, and which partitions were not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ci.inspect.content import Content, read_source
from ci.inspect.errors import CorruptFileError, InspectError, NoSpaceError
from ci.inspect.fat import Fat, is_fat
from ci.inspect.kinds import Kind, kind_of, unknown_file_system
from ci.inspect.models import Entry, PartitionFacts, UnreadPartition
from ci.inspect.squashfs import inspect_squashfs
from ci.inspect.xfs import Xfs

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.inspect.context import Context
    from ci.inspect.models import FileSystem
    from ci.inspect.source import Source

_ESP, _GRUB_CORE = "esp", "bios-boot"
#: Talos's store of settings (`META`): no file system, two copies of tag-length-value records behind a magic number
#: each (pkg/machinery's `adv`: one of Talos's own, one of Syslinux's).
_META_MAGICS = ((0, bytes.fromhex("5a4b3c2d")), (0x40000, bytes.fromhex("5a4b3c2d")))

Files = list[tuple[str, "Source"]]


def read_partition(
    source: Source, partition: PartitionFacts, context: Context
) -> tuple[PartitionFacts, Files, UnreadPartition | None]:
    """Return a partition with its names, the contents of its files, and why it was not read where it was not.

    An EFI system partition must hold FAT, without which nothing starts: anything else is an error. What another one
    holds is read where its file system is known; one that is empty, or is known to hold no files, needs no reader.
    """
    window = source.window(f"{source.name}:{partition.name or partition.number}", partition.offset, partition.size)
    kind = kind_of(window)
    if partition.type == _ESP:
        entries, files = read_fat(window, context)
        return _with(partition, "fat", entries), files, None
    if kind in _READERS:
        try:
            entries, files = _READERS[kind](window, context)
        except NoSpaceError:
            raise
        except InspectError as error:
            return partition, [], _unread(partition, f"{kind}: {error.place}: {error.reason}")
        return _with(partition, cast("FileSystem", kind), entries), files, None
    if (name := unknown_file_system(window)) is not None:
        return partition, [], _unread(partition, f"{name}: no reader knows it")
    if partition.type == _GRUB_CORE or _is_meta(partition, window) or window.is_empty():
        return partition, [], None
    reason = "no file system is recognised in it" if kind == "data" else f"{kind}: it is not a file system"
    return partition, [], _unread(partition, reason)


def _with(partition: PartitionFacts, kind: FileSystem, entries: list[Entry]) -> PartitionFacts:
    return partition.model_copy(update={"filesystem": kind, "entries": tuple(entries)})


def _unread(partition: PartitionFacts, reason: str) -> UnreadPartition:
    return UnreadPartition(number=partition.number, name=partition.name, type=partition.type, reason=reason)


def _is_meta(partition: PartitionFacts, window: Source) -> bool:
    return partition.name == "META" and any(window.read_up_to(at, len(magic)) == magic for at, magic in _META_MAGICS)


def read_fat(source: Source, context: Context) -> tuple[list[Entry], Files]:
    """Return names and contents of a FAT file system's files."""
    if not is_fat(source.read_up_to(0, 512)):
        raise CorruptFileError(source.name, "byte 0", "the EFI system partition holds no FAT file system")
    fat = Fat(source, context)
    entries: list[Entry] = []
    files: Files = []
    for file in fat.walk():
        if file.directory:
            entries.append(Entry(path=file.path, type="directory", mode=0o755))
            continue
        window = fat.open(file)
        context.count_expanded(source.name, window.size)
        content = read_source(file.path, window)
        entries.append(
            Entry(
                path=file.path,
                type="file",
                mode=0o755,
                size=file.size,
                sha256=content.sha256,
                machine=content.machine,
            )
        )
        files.append((file.path, window))
    return entries, files


def read_xfs(source: Source, context: Context) -> tuple[list[Entry], Files]:
    """Return names and contents of an XFS's files."""
    xfs = Xfs(source, context)
    entries: list[Entry] = []
    files: Files = []
    for file in xfs.walk():
        content: Content | None = None
        if file.type == "file":
            window = xfs.open(file)
            context.count_expanded(source.name, window.size)
            content = read_source(file.path, window)
            files.append((file.path, window))
        entries.append(
            Entry(
                path=file.path,
                type=file.type,
                mode=file.mode,
                uid=file.uid,
                gid=file.gid,
                size=file.size,
                target=file.target,
                mtime=file.mtime,
                sha256=content.sha256 if content else None,
                machine=content.machine if content else None,
            )
        )
    return entries, files


def read_squashfs(source: Source, context: Context) -> tuple[list[Entry], Files]:
    """Return names of a squashfs image; Talos boots nothing from one that is a partition."""
    return list(inspect_squashfs(source, context).entries), []


_READERS: dict[Kind, Callable[[Source, Context], tuple[list[Entry], Files]]] = {
    "fat": read_fat,
    "xfs": read_xfs,
    "squashfs": read_squashfs,
}
