"""Files as they are written here: whole or not at all, under a mode of their own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from ci.common.errors import CozystackTalosError
from ci.inspect.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from ci.inspect.source import Source

_Model = TypeVar("_Model", bound=BaseModel)


class NormaliseError(CozystackTalosError):
    """A file is not what the imager or the engine writes, so nothing can be said about what chance left in it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type[NormaliseError], tuple[str, str]]:
        return type(self), (self.name, self.reason)


@contextmanager
def written(path: Path) -> Generator[BinaryIO]:
    """Give a file to write that takes its place at `path`, mode 0644, once it is whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_json(source: Source, model: type[_Model]) -> _Model:
    """Return the JSON document that a source holds; raises with the place in it that is not as `model` says."""
    if source.size > LIMITS.text:
        raise NormaliseError(source.name, f"a document of {source.size} bytes (limit {LIMITS.text})")
    try:
        return model.model_validate_json(source.read_at(0, source.size, "the document"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "document"
        raise NormaliseError(source.name, f"{place}: {first['msg']}") from error
