"""Two folders of files that should be equal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict

from ci.compare.differences import FirstDifference, first_difference
from ci.inspect.errors import MissingFileError
from ci.inspect.source import open_file
from ci.report.inspection import size_text

if TYPE_CHECKING:
    from pathlib import Path

    from ci.report.inspection import Format


class FileComparison(BaseModel):
    """One path in both folders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    #: Of the file in the first folder; of the second's, where the first has none.
    size: int
    sha256: str
    #: `None` where the files are equal.
    first_difference: FirstDifference | None = None


class Comparison(BaseModel):
    """All paths, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[FileComparison, ...]

    @property
    def equal(self) -> bool:
        """Whether every file is the same in both."""
        return all(file.first_difference is None for file in self.files)

    def render(self, form: Format) -> str:
        """Returns the comparison in one of the forms, with a line feed at the end."""
        document = {"equal": self.equal, **self.model_dump(mode="json", exclude_none=True)}
        if form == "json":
            return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        if form == "yaml":
            return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
        width = max((len(file.path) for file in self.files), default=0)
        return "".join(f"{_line(file, width)}\n" for file in self.files)


def _line(file: FileComparison, width: int) -> str:
    if file.first_difference is None:
        return f"same    {file.path:<{width}}  {size_text(file.size):>9}  sha256 {file.sha256}"
    return f"DIFFER  {file.path}: {file.first_difference}"


def compare_folders(one: Path, other: Path) -> Comparison:
    """Compares every file below two folders; raises `MissingFileError` where one of them is none."""
    for folder in (one, other):
        if not folder.is_dir():
            raise MissingFileError(str(folder), "", "no such folder")
    names = sorted({str(path.relative_to(top)) for top in (one, other) for path in top.rglob("*") if path.is_file()})
    return Comparison(files=tuple(_compare(one / name, other / name, name) for name in names))


def _compare(one: Path, other: Path, name: str) -> FileComparison:
    there = [path for path in (one, other) if path.is_file()]
    with open_file(there[0], name) as left:
        found = FileComparison(path=name, size=left.size, sha256=left.sha256())
        if len(there) == 1:
            words = ["there" if path.is_file() else "nothing" for path in (one, other)]
            difference = FirstDifference(place=("the file",), one=words[0], other=words[1])
        else:
            with open_file(other, name) as right:
                difference = first_difference(left, right)
    return found.model_copy(update={"first_difference": difference})
