"""The initramfs of all extensions, put together from what the imager made of them in several runs.

A run is given some of the extensions, and appends to its base what one run of all would: `N.sqsh`, an image an
extension, `modules.dep.sqsh` where kernel modules came along, firmware, `extensions.yaml`. Here the images get the
numbers of the whole list, and everything goes into one archive, in the imager's order: names as text, so that 10 comes
before 2. What comes out is the normalised initramfs of one run, byte for byte.

How the imager makes the archive is pkg/imager/extensions and internal/pkg/extensions at siderolabs/talos.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, TypeAlias, cast

from ci.common.filenames import EXTENSIONS_YAML, MODULES_IMAGE
from ci.inspect.cpio import HEADER, TRAILER, parse_header
from ci.inspect.limits import CHUNK
from ci.inspect.source import open_file
from ci.steps.normalise.files import NormaliseError, written
from ci.steps.normalise.initramfs import compressed, read_stretches, restamped, restamped_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ci.inspect.source import ByteStream
    from ci.steps.normalise.initramfs import Stretch

#: A path in an archive, by its names: in this order the imager lists them, each folder before what it holds.
_Path: TypeAlias = tuple[bytes, ...]

#: `cpio` fills an archive up to a block.
_BLOCK: Final = 512
_YAML: Final[_Path] = (EXTENSIONS_YAML.encode(),)
_MODULES: Final[_Path] = (MODULES_IMAGE.encode(),)

_LAYERS: Final = b"layers:\n"
_LAYER: Final = re.compile(rb"^    - image: (\S+)\n", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """An imager run's initramfs, and the numbers in the whole list of the extensions that it was given, in order."""

    numbers: tuple[int, ...]
    path: Path


@dataclass(frozen=True)
class _Member:
    """A member of an archive; its content is in the spool, in pieces (start, size)."""

    header: bytes
    mode: int
    pieces: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Bytes of its content."""
        return sum(size for _, size in self.pieces)


_Members: TypeAlias = "dict[_Path, _Member]"


@dataclass(frozen=True)
class _Part:
    """What one run added to its base."""

    name: str
    numbers: tuple[int, ...]
    #: Of the archive before the base: CPU microcode.
    early: _Members
    late: _Members
    #: Image in `extensions.yaml` → what follows its name there.
    layers: dict[bytes, bytes]

    @property
    def first(self) -> str:
        """The first of its numbers, in the imager's order."""
        return min(map(str, self.numbers))

    @property
    def last(self) -> str:
        """The last of its numbers, in the imager's order."""
        return max(map(str, self.numbers))


class _Spool:
    """The contents of members, on disk: together they are as large as the initramfs."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        #: The trailer's header and name, as `cpio` wrote them.
        self.trailer = b""

    def members(self, stream: ByteStream) -> _Members:
        """Read the members of archives, and keep their contents."""
        found: _Members = {}
        while True:
            stream.skip_zeros()
            if stream.peek() is None:
                return found
            place = f"cpio entry at byte {stream.offset}"
            header = stream.read_exactly(HEADER, "a cpio header")
            fields = parse_header(header, stream.name, place)
            padded = stream.read_exactly(fields.padded_name, "a cpio name")
            name = padded[: fields.name_size].rstrip(b"\0")
            if name == TRAILER.encode():
                self.trailer = header + padded
                continue
            if not stat.S_ISDIR(fields.mode) and not (stat.S_ISREG(fields.mode) and fields.links == 1):
                raise NormaliseError(stream.name, f"{place} is neither a folder nor a file with one name")
            piece = self.add(stream.pieces(fields.size, "a cpio entry's content"))
            stream.skip(fields.padded_size - fields.size, "a cpio entry's padding")
            found[tuple(name.split(b"/"))] = _Member(header, fields.mode, (piece,))

    def add(self, content: Iterable[bytes]) -> tuple[int, int]:
        """Keep a content and return where it is."""
        start = self._file.seek(0, os.SEEK_END)
        self._file.writelines(content)
        return start, self._file.tell() - start

    def content(self, member: _Member) -> Iterator[bytes]:
        """Yield a member's content."""
        for start, size in member.pieces:
            self._file.seek(start)
            left = size
            while left:
                data = self._file.read(min(left, CHUNK))
                left -= len(data)
                yield data

    def text(self, member: _Member) -> bytes:
        """Return a member's content whole."""
        return b"".join(self.content(member))


def assemble_initramfs(base: Path, runs: Sequence[Run], out: Path, epoch: int) -> None:
    """Write the initramfs of a base and of the runs' extensions, with all times set to `epoch`.

    Raises `NormaliseError` where the runs are not of all extensions, each once, or bring different files of one path.
    """
    with tempfile.TemporaryFile() as file, open_file(base) as source:
        spool = _Spool(cast("BinaryIO", file))
        stretches = read_stretches(source)
        leading = _leading_archives(stretches)
        parts = sorted((_read(run, spool, leading) for run in runs), key=lambda part: part.first)
        _check(str(out), parts)
        early = _merged(str(out), spool, [(part, part.early) for part in parts], _joined)
        late = _merged(str(out), spool, [(part, _numbered(part)) for part in parts], _same)
        late[_YAML] = replace(parts[0].late[_YAML], pieces=(spool.add(_layers(parts)),))
        with written(out) as target:
            if early:
                target.writelines(_archive(spool, early, epoch))
            for number, stretch in enumerate(stretches):
                as_it_is = number >= leading
                target.writelines(stretch.chunks(source) if as_it_is else restamped(stretch.archive(source), epoch))
            target.writelines(compressed(_archive(spool, late, epoch)))


def _leading_archives(stretches: Sequence[Stretch]) -> int:
    """Return how many bare archives there are before the first frame."""
    return next((number for number, stretch in enumerate(stretches) if stretch.is_frame), len(stretches))


def _read(run: Run, spool: _Spool, leading_of_base: int) -> _Part:
    """Read what a run appended to its base, and put before it."""
    with open_file(run.path) as source:
        stretches = read_stretches(source)
        leading = _leading_archives(stretches)
        if not stretches[-1].is_frame:
            raise NormaliseError(source.name, "ends with no zstd frame: an imager with extensions appends one")
        only = len(stretches) - leading == 1
        before = leading - (0 if only else leading_of_base)
        early: _Members = {}
        for stretch in stretches[:before]:
            early |= spool.members(stretch.archive(source))
        late = spool.members(stretches[-1].archive(source))
        if _YAML not in late:
            raise NormaliseError(source.name, f"its last frame has no {EXTENSIONS_YAML}")
        text = spool.text(late[_YAML])
        begins, *found = _LAYER.split(text)
        layers = dict(zip(found[::2], found[1::2], strict=True))
        if begins != _LAYERS or len(layers) != len(found) // 2:
            raise NormaliseError(source.name, f"its {EXTENSIONS_YAML} is not as the imager writes it")
        images = {_image(number) for number in range(len(run.numbers))}
        if images != set(layers) - {MODULES_IMAGE.encode()} or set(layers) != {
            path[0] for path in late if _is_image(path)
        }:
            raise NormaliseError(source.name, f"does not hold the {len(run.numbers)} extensions that it was given")
        return _Part(source.name, run.numbers, early, late, layers)


def _image(number: int) -> bytes:
    return f"{number}.sqsh".encode()


def _is_image(path: _Path) -> bool:
    return len(path) == 1 and path[0].endswith(b".sqsh")


def _names(part: _Part) -> dict[bytes, bytes]:
    """Return image in the run → image in the whole."""
    names = {_image(place): _image(number) for place, number in enumerate(part.numbers)}
    return names | ({MODULES_IMAGE.encode(): MODULES_IMAGE.encode()} if _MODULES in part.late else {})


def _check(name: str, parts: Sequence[_Part]) -> None:
    numbers = sorted(number for part in parts for number in part.numbers)
    if not parts or numbers != list(range(len(numbers))):
        raise NormaliseError(name, f"the runs are not of all extensions, each once, but of {numbers}")
    with_modules = [part.name for part in parts if _MODULES in part.late]
    if len(with_modules) > 1:
        raise NormaliseError(name, f"{MODULES_IMAGE} is over the modules of one run only: {' and '.join(with_modules)}")


def _numbered(part: _Part) -> _Members:
    names = _names(part)
    return {
        (names[path[0]],) if _is_image(path) else path: member for path, member in part.late.items() if path != _YAML
    }


def _layers(parts: Sequence[_Part]) -> list[bytes]:
    """Return the pieces of the whole's `extensions.yaml`: what it says of an extension does not depend on others."""
    found = {_names(part)[image]: text for part in parts for image, text in part.layers.items()}
    order = sorted(found, key=lambda image: (image == MODULES_IMAGE.encode(), image.removesuffix(b".sqsh")))
    return [_LAYERS, *(b"    - image: " + image + b"\n" + found[image] for image in order)]


class _Merge(Protocol):
    """Merges two members of one path; `in_order` says whether the first comes before the other in the whole list."""

    def __call__(self, spool: _Spool, one: _Member, other: _Member, *, in_order: bool) -> _Member | None: ...


def _merged(name: str, spool: _Spool, given: Sequence[tuple[_Part, _Members]], merge: _Merge) -> _Members:
    """Return the members of all parts, those of one path merged in the imager's order."""
    found: dict[_Path, tuple[_Part, _Member]] = {}
    for part, members in given:
        for path, member in members.items():
            if path not in found:
                found[path] = part, member
                continue
            before, known = found[path]
            # What one run made of several extensions does not show where another extension comes between them.
            merged = merge(spool, known, member, in_order=before.last < part.first)
            if merged is None:
                where = b"/".join(path).decode("utf-8", "backslashreplace")
                raise NormaliseError(name, f"{before.name} and {part.name} bring different files for {where}")
            found[path] = max(before, part, key=lambda one: one.last), merged
    return {path: member for path, (_, member) in found.items()}


def _same(spool: _Spool, one: _Member, other: _Member, *, in_order: bool) -> _Member | None:  # noqa: ARG001
    """Return the one member that two are, `None` where they differ."""
    alike = one.mode == other.mode and one.size == other.size and spool.text(one) == spool.text(other)
    return one if alike else None


def _joined(spool: _Spool, one: _Member, other: _Member, *, in_order: bool) -> _Member | None:
    """Return a member with the contents of two, as microcode is joined; `None` where it is not known in which order."""
    if not stat.S_ISREG(one.mode):
        return _same(spool, one, other, in_order=in_order)
    return replace(one, pieces=(*one.pieces, *other.pieces)) if in_order else None


def _archive(spool: _Spool, members: Mapping[_Path, _Member], epoch: int) -> Iterator[bytes]:
    """Yield the archive of members, as `cpio --reproducible` writes it."""
    length = 0
    for number, (path, member) in enumerate(sorted(members.items())):
        name = b"/".join(path) + b"\0"
        fields = parse_header(member.header, "archive", "cpio entry")._replace(name_size=len(name), size=member.size)
        header = restamped_header(
            member.header, fields, epoch, inode=number, size=fields.size, name_size=fields.name_size
        )
        yield header + name + bytes(fields.padded_name - len(name))
        yield from spool.content(member)
        yield bytes(fields.padded_size - fields.size)
        length += HEADER + fields.padded_name + fields.padded_size
    yield spool.trailer
    length += len(spool.trailer)
    yield bytes(-length % _BLOCK)
