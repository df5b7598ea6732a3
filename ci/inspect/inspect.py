"""The entry point: finds what a path is from its content and has the right reader read it."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ci.inspect.authenticode import without_signatures
from ci.inspect.compression import Frame, expand
from ci.inspect.content import ContentReader, elf_machine
from ci.inspect.context import Context
from ci.inspect.cpio import MAGICS
from ci.inspect.disk import read_partitions
from ci.inspect.errors import InspectError, LimitExceededError, MissingFileError, NoSpaceError, UnsupportedFileError
from ci.inspect.extension import folder_entries, read_extension_folder, read_extension_tar
from ci.inspect.grub import is_menu, menu_entries
from ci.inspect.image import entry_of, inspect_image
from ci.inspect.initramfs import inspect_initramfs
from ci.inspect.ipxe import read_script
from ci.inspect.iso import inspect_iso
from ci.inspect.kernel import inspect_packed_kernel, is_arm64_image
from ci.inspect.kinds import HEAD, is_boot_file, kind_of, unread_disk
from ci.inspect.limits import LIMITS, Limits
from ci.inspect.models import (
    AnyFacts,
    ArchiveFacts,
    CmdlineFacts,
    DataFacts,
    DiskFacts,
    ElfFacts,
    Entry,
    FolderFacts,
    Inspection,
    MenuFacts,
    PartitionFacts,
    TextFacts,
    UnreadableFacts,
    UnreadPartition,
)
from ci.inspect.oci import ARCHIVE, INDEX, LAYOUT, files_of
from ci.inspect.partitions import read_partition
from ci.inspect.pe import inspect_pe
from ci.inspect.seen import SMALL, moved, settled
from ci.inspect.source import BytesSource, ByteStream, Source, open_file, printable
from ci.inspect.squashfs import inspect_squashfs
from ci.inspect.stored import DISKS, disk_in_tar, stored_disk
from ci.inspect.tar import is_tar, stream_members

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.inspect.compression import Compression
    from ci.inspect.models import StoredAs

#: Arguments as the imager writes them: no quotes, no second line.
_CMDLINE = re.compile(r"[\w.-]+(=[^\s\"]*)?( +[\w.-]+(=[^\s\"]*)?)*", re.ASCII)

#: What no text has.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")

_Found = tuple[AnyFacts, tuple[Inspection, ...]]

#: Files of a folder that are read at the same time; each may take the memory of a decompressor's largest window.
_AT_ONCE = 2

#: Enough of a compressed file's content to tell what it is.
_PEEK = 64 * 1024


def inspect_path(
    path: Path | str, limits: Limits = LIMITS, *, name: str | None = None, unsigned: bool = False
) -> Inspection:
    """Return what a file or folder holds, its kind found from the content and never from the name.

    `name` is what it is called instead of its path, in the result and in errors. With `unsigned`, programs are read
    without their signatures, which have the time of signing; digests are then of what is left.

    A folder is read as an extension image (`manifest.yaml`, `rootfs/`), an OCI layout (`oci-layout`) or, otherwise, as
    a folder of assets: each file inside is inspected, and one that can't be read is `unreadable` there. Raises
    `InspectError` where the path itself can't be read.
    """
    path = Path(path)
    context = Context(limits, unsigned=unsigned)
    if path.is_dir():
        return settled(_folder(path, name or printable(str(path)), context))
    with open_file(path, name) as source:
        return settled(_inspect(source, name or printable(path.name), source.name, context))


def _inspect(source: Source, name: str, path: str, context: Context) -> Inspection:
    """Read a source; the bytes of one that was read before are not read again."""
    context.nesting += 1
    try:
        if context.nesting > context.limits.nesting:
            raise LimitExceededError(source.name, "", f"more than {context.limits.nesting} archives in one another")
        source, programs = _seen(source, context)
        digest = _digest(source, context)
        if not digest or source.size < SMALL:
            return _found(source, digest, name, path, context, programs)
        known = context.seen.begin(digest, context.own)
        if known is not None:
            return moved(known, path).model_copy(update={"name": name})
        try:
            found = _found(source, digest, name, path, context, programs)
        except BaseException:
            context.seen.end(digest, context.own, None)
            raise
        context.seen.end(digest, context.own, found)
        return found
    finally:
        context.nesting -= 1


def _found(
    source: Source, digest: str, name: str, path: str, context: Context, programs: tuple[str, ...]
) -> Inspection:
    context.left_out = ()
    facts, contents = _read(source, path, context)
    programs = programs or context.left_out
    context.left_out = ()
    return Inspection(
        name=name,
        size=source.size,
        sha256=digest,
        facts=facts,
        contents=contents,
        same_as=path if digest else None,
        unsigned=programs,
    )


def _seen(source: Source, context: Context) -> tuple[Source, tuple[str, ...]]:
    """Return a source as it is to be looked at, and the programs in it that are seen without their signatures."""
    if not context.unsigned:
        return source, ()
    found = without_signatures(source)
    return found.source, found.programs


def _read(source: Source, path: str, context: Context) -> _Found:
    match kind_of(source):
        case "zstd" | "xz" | "gzip" as compression:
            return _compressed(source, compression, path, context)
        case "lz4":
            raise UnsupportedFileError(source.name, "byte 0", "packed with lz4: Talos packs with zstd, xz or gzip")
        case "cpio":
            return inspect_initramfs(source, context)
        case "squashfs":
            return inspect_squashfs(source, context), ()
        case "pe":
            facts, sections = inspect_pe(source, context)
            return facts, _nested(sections, path, context)
        case "iso":
            facts, files = inspect_iso(source, context)
            return facts, _boot_files(files, path, context)
        case "disk" | "qcow2" | "vhd" | "vmdk" as kind:
            return _disk(*stored_disk(source, kind, context), "none", path, context)
        case "tar":
            return _tar(source, "none", path, context)
        case "elf":
            return ElfFacts(machine=elf_machine(source.read_up_to(0, HEAD)) or ""), ()
        case _:
            return _other(source, context), ()


def _boot_files(files: list[tuple[str, Source]], path: str, context: Context) -> tuple[Inspection, ...]:
    """Inspect what a medium boots: kernels, initramfs, programs for firmware, and GRUB's menu with the arguments."""
    return _nested([(name, file) for name, file in files if is_menu(name) or is_boot_file(file)], path, context)


def _nested(sources: list[tuple[str, Source]], path: str, context: Context) -> tuple[Inspection, ...]:
    return tuple(_known(source, name, f"{path}:{name}", context) for name, source in sources)


def _known(source: Source, name: str, path: str, context: Context) -> Inspection:
    """Inspect a file inside another one; what no reader knows is named, and the rest of the file is read."""
    try:
        return _inspect(source, name, path, context)
    except UnsupportedFileError as error:
        return Inspection(name=name, size=source.size, sha256=source.sha256(), facts=UnreadableFacts(error=str(error)))


def _other(source: Source, context: Context) -> AnyFacts:
    if disk := unread_disk(source):
        raise UnsupportedFileError(
            source.name, "byte 0", f"{disk}, which is not read: `qemu-img convert -O raw` makes a raw disk of it"
        )
    data = source.read_up_to(0, context.limits.text + 1)
    if len(data) <= context.limits.text:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = "\0"
        if not _CONTROL.search(text):
            if "talos.platform=" in text and _CMDLINE.fullmatch(text.strip()):
                return CmdlineFacts(cmdline=text.strip())
            if script := read_script(text):
                return script
            if entries := menu_entries(text):
                return MenuFacts(entries=entries)
            return TextFacts(text=text)
    return DataFacts(head=data[:16].hex())


def _compressed(source: Source, kind: Compression, path: str, context: Context) -> _Found:
    head = _first_bytes(source, kind, context)
    if head[:6] in MAGICS:
        return inspect_initramfs(source, context)
    if is_arm64_image(head):
        return inspect_packed_kernel(source, kind, context), ()
    if kind_of(BytesSource(source.name, head)) in DISKS:
        with context.spool(source.name, expand(source, kind, context)) as disk:
            return _disk(*stored_disk(disk, kind_of(disk), context), kind, path, context)
    if is_tar(head):
        with context.spool(source.name, expand(source, kind, context)) as archive:
            return _tar(archive, kind, path, context)
    for _ in expand(source, kind, context):
        pass  # Of no kind that matters here, but a corrupt one is reported.
    return DataFacts(head=source.read_up_to(0, 16).hex()), ()


def _first_bytes(source: Source, kind: Compression, context: Context) -> bytes:
    head = b""
    for chunk in Frame(source, 0, kind, context).chunks():
        head += chunk
        if len(head) >= _PEEK:
            break
    return head


def _disk(
    form: StoredAs, source: Source, compression: Compression | Literal["none"], path: str, context: Context
) -> _Found:
    source, programs = _seen(source, context)
    partitions: list[PartitionFacts] = []
    unread: list[UnreadPartition] = []
    contents: list[Inspection] = []
    for found in read_partitions(source, context):
        partition, files, missed = read_partition(source, found, context)
        partitions.append(partition)
        unread += [missed] if missed else []
        contents += _boot_files(files, f"{path}:{partition.name}", context)
    first = min((partition.offset for partition in partitions), default=0)
    facts = DiskFacts(
        compression=compression,
        format=form,
        capacity=source.size,
        partitions=tuple(partitions),
        unread=tuple(unread),
        start=source.read_up_to(0, min(first, context.limits.boot_code)).rstrip(b"\0"),
    )
    context.left_out = programs
    return facts, tuple(contents)


def _tar(source: Source, packed: Compression | Literal["none"], path: str, context: Context) -> _Found:
    names = files_of(source, context)
    if (found := disk_in_tar(source, names, context)) is not None:
        return _disk(*found, packed, path, context)
    if ARCHIVE in names or INDEX in names:
        return inspect_image(source.name, names, _nested_reader(path, context), context)
    if "manifest.yaml" in names:
        return read_extension_tar(ByteStream(source.name, source.chunks()), context), ()
    entries: list[Entry] = []
    for member, content in stream_members(ByteStream(source.name, source.chunks()), context):
        reader = ContentReader(member.path)
        for chunk in content:
            reader.update(chunk)
        entries.append(entry_of(member, reader))
    return ArchiveFacts(entries=tuple(entries)), ()


def _nested_reader(path: str, context: Context) -> Callable[[str, Source], Inspection]:
    def read(name: str, source: Source) -> Inspection:
        return _inspect(source, name, f"{path}:{name}", context)

    return read


def _folder(path: Path, name: str, context: Context) -> Inspection:
    if (path / "manifest.yaml").is_file() and (path / "rootfs").is_dir():
        return Inspection(name=name, size=0, sha256="", facts=read_extension_folder(path, name, context))
    if (path / LAYOUT).is_file():
        return _layout(path, name, context)
    entries: list[Entry] = []
    layouts: list[str] = []
    found: list[tuple[Entry, Path]] = []
    for entry, place in folder_entries(path, name, Context(context.limits)):
        if any(entry.path.startswith(f"{layout}/") for layout in layouts):
            continue
        if entry.type == "directory" and (place / LAYOUT).is_file():
            layouts.append(entry.path)
        elif entry.type != "file":
            entries.append(entry)
            continue
        found.append((entry, place))
    # The libraries that expand, and the one that digests, let another core run.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        read = [pool.submit(_readable, place, entry, context.for_another_file()) for entry, place in found]
        contents = tuple(one.result() for one in read)
    return Inspection(name=name, size=0, sha256="", facts=FolderFacts(entries=tuple(entries)), contents=contents)


def _readable(place: Path, entry: Entry, context: Context) -> Inspection:
    """Read a file, or an OCI layout, which has no digest."""
    try:
        if entry.type == "directory":
            return _layout(place, entry.path, context)
        return _file(place, entry.path, context)
    except (MissingFileError, NoSpaceError):
        raise
    except InspectError as error:
        digest = ""
        if entry.type == "file":
            with open_file(place, entry.path) as source:
                digest = _digest(source, context)
        return Inspection(name=entry.path, size=entry.size, sha256=digest, facts=UnreadableFacts(error=str(error)))


def _file(path: Path, name: str, context: Context) -> Inspection:
    with open_file(path, name) as source:
        return _inspect(source, name, name, context)


def _digest(source: Source, context: Context) -> str:
    """Return a source's digest; of one that is too large for that, nothing."""
    return source.sha256() if source.size <= context.limits.digested else ""


def _layout(root: Path, name: str, context: Context) -> Inspection:
    with ExitStack() as files:
        blobs: dict[str, Source] = {
            entry.path: files.enter_context(open_file(place, f"{name}/{entry.path}"))
            for entry, place in folder_entries(root, name, context)
            if entry.type == "file"
        }
        facts, contents = inspect_image(name, blobs, _nested_reader(name, context), context)
    return Inspection(name=name, size=0, sha256="", facts=facts, contents=contents)
