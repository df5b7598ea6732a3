"""Errors of files that can't be read as what they claim to be."""

from ci.common.errors import CozystackTalosError


class InspectError(CozystackTalosError):
    """A file can't be read; names the file, the place in it and the reason."""

    def __init__(self, name: str, place: str, reason: str) -> None:
        super().__init__(f"{name}: {place}: {reason}" if place else f"{name}: {reason}")
        self.name = name
        self.place = place
        self.reason = reason

    def __reduce__(self) -> tuple[type["InspectError"], tuple[str, str, str]]:
        return type(self), (self.name, self.place, self.reason)


class CorruptFileError(InspectError):
    """The bytes break the rules of the file's format."""


class TruncatedFileError(CorruptFileError):
    """The file ends before its content does."""


class LimitExceededError(InspectError):
    """The file is larger, deeper or expands further than any real asset does (`ci.inspect.limits`)."""


class UnsafePathError(InspectError):
    """A name inside an archive leads out of it."""


class UnsupportedFileError(InspectError):
    """The file is of a kind or of a feature that no reader here knows."""


class NoSpaceError(InspectError):
    """The machine that reads has no room for a temporary file: that says nothing about the file that is read."""


class MissingFileError(InspectError):
    """There is nothing at the path given."""
