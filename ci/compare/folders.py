"""Two folders of files that should be equal."""

from __future__ import annotations

import operator
import stat
from pathlib import PurePath
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from ci.common.documents import json_text, yaml_text
from ci.common.text import escaped
from ci.compare.differences import FirstDifference, first_difference
from ci.inspect.errors import MissingFileError
from ci.inspect.limits import LIMITS
from ci.inspect.source import open_file, printable
from ci.report.inspection import size_text

if TYPE_CHECKING:
    from pathlib import Path

    from ci.inspect.source import Source
    from ci.report.inspection import Format


_NOTHING = "nothing"
_KINDS = {stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFDIR: "folder"}


class FileComparison(BaseModel):
    """One path in both folders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    #: `file`, `link`, `folder` (an empty one; others show in what they hold) or `a special file`.
    kind: str = "file"
    #: Of the file in the first folder; of the second's, where the first has none.
    size: int
    #: Empty for all but files, and of those for the ones that are too large for a checksum.
    sha256: str
    #: `None` where the files are equal.
    first_difference: FirstDifference | None = None
    #: Signed programs of which all but the signature was compared, by their paths in the file.
    without_signature: tuple[str, ...] = Field(default=(), exclude_if=operator.not_)


class Comparison(BaseModel):
    """All paths, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[FileComparison, ...]

    @property
    def equal(self) -> bool:
        """Return whether every file is the same in both, signatures of programs aside."""
        return all(file.first_difference is None for file in self.files)

    def render(self, form: Format) -> str:
        """Return the comparison in one of the forms, with a line feed at the end."""
        document = {"equal": self.equal, **self.model_dump(mode="json", exclude_none=True)}
        if form == "json":
            return json_text(document)
        if form == "yaml":
            return yaml_text(document)
        width = max((len(file.path) for file in self.files), default=0)
        return "".join(f"{escaped(_line(file, width))}\n" for file in self.files)


def _line(file: FileComparison, width: int) -> str:
    if file.first_difference is None and file.kind != "file":
        return f"same    {file.path:<{width}}  {file.kind:>9}"
    if file.first_difference is None:
        same = f"same    {file.path:<{width}}  {size_text(file.size):>9}"
        if file.without_signature:
            return f"{same}  but for the signature of {', '.join(file.without_signature)}: it has the time of signing"
        return f"{same}  sha256 {file.sha256 or '(too large)'}"
    return f"DIFFER  {file.path}: {file.first_difference}"


def compare_folders(one: Path, other: Path) -> Comparison:
    """Compare everything below two folders: files by their bytes, links by their targets, the rest by what it is.

    Raises `MissingFileError` where one of them is no folder, or where nothing is in either of them.
    """
    for folder in (one, other):
        if not folder.is_dir():
            raise MissingFileError(printable(str(folder)), "", "no such folder")
    paths = sorted({str(path.relative_to(top)) for top in (one, other) for path in top.rglob("*")})
    if not paths:
        raise MissingFileError(str(one), "", f"nothing is in it, nor in {other}: there is nothing to compare")
    # A folder shows in what is below it.
    shown = {str(parent) for name in paths for parent in PurePath(name).parents}
    names = [name for name in paths if name not in shown]
    return Comparison(files=tuple(_compare(one / name, other / name, name) for name in names))


def _compare(one: Path, other: Path, name: str) -> FileComparison:
    kinds = [_kind(path) for path in (one, other)]
    name = printable(name)
    if kinds != ["file", "file"]:
        there = next(path for path, kind in zip((one, other), kinds, strict=True) if kind != _NOTHING)
        found = _described(there, name)
        if kinds[0] == kinds[1] == "link":
            targets = [printable(str(path.readlink())) for path in (one, other)]
            if targets[0] == targets[1]:
                return found
            difference = FirstDifference(place=("the link's target",), one=targets[0], other=targets[1])
        elif kinds[0] == kinds[1]:
            return found
        else:
            words = ["there" if kind == "file" and _NOTHING in kinds else kind for kind in kinds]
            difference = FirstDifference(place=("the file",), one=words[0], other=words[1])
        return found.model_copy(update={"first_difference": difference})
    with open_file(one, name) as left, open_file(other, name) as right:
        found = _file(left, name)
        unsigned = set[str]()
        difference = first_difference(left, right, unsigned)
        programs = tuple(sorted(program or name for program in unsigned))
        return found.model_copy(update={"first_difference": difference, "without_signature": programs})


def _kind(path: Path) -> str:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return _NOTHING
    return _KINDS.get(stat.S_IFMT(mode), "a special file")


def _described(path: Path, name: str) -> FileComparison:
    if _kind(path) != "file":
        return FileComparison(path=name, kind=_kind(path), size=0, sha256="")
    with open_file(path, name) as source:
        return _file(source, name)


def _file(source: Source, name: str) -> FileComparison:
    digest = source.sha256() if source.size <= LIMITS.digested else ""
    return FileComparison(path=name, size=source.size, sha256=digest)
