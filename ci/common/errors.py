"""The errors that a person can do something about.

Each is raised where the fact is known, with its whole message: what was given, what is allowed, what to do.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, cast

from ci.common.text import escaped, shown

if TYPE_CHECKING:
    from collections.abc import Iterable


_TRACE = re.compile(r"\s*\[traceparent:[^\]]*\]")


class CozystackTalosError(Exception):
    """Something given by the user, or found in a file, is not as it has to be."""

    def __str__(self) -> str:
        # Errors quote what was given: names, answers, lines of files.
        return shown(super().__str__())


class FileError(CozystackTalosError):
    """A text file can't be taken as it is; the message begins with `file:line:`."""

    def __init__(self, file: str, line: int | None, reason: str) -> None:
        called = escaped(file)
        super().__init__(f"{called}:{line}: {reason}" if line else f"{called}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason

    def __reduce__(self) -> tuple[type[FileError], tuple[str, int | None, str]]:
        return type(self), (self.file, self.line, self.reason)


class VariantError(FileError):
    """A variant file is refused."""


class UpstreamError(FileError):
    """CozyStack's checkout can't be understood."""


class ReferenceSyntaxError(CozystackTalosError):
    """A text is no image reference."""


class OutputError(CozystackTalosError):
    """An output or a layout does not exist, or can't be had in this combination."""


class PlanError(CozystackTalosError):
    """Variant, upstream and catalog do not go together."""


class RegistryError(CozystackTalosError):
    """A registry can't be reached, refuses, or gives no answer that can be used."""


class NotFoundInRegistryError(CozystackTalosError):
    """A registry answered that it has no such image (which is not the same as no answer)."""


class UserError(CozystackTalosError):
    """Something that the user gave does not exist, is incomplete, or contradicts the rest."""


class BuildError(CozystackTalosError):
    """A step could not be done, or what goes in or came out does not pass its checks."""


class AssetsError(CozystackTalosError):
    """Assets can't be read, do not pass their checks, or differ where they must not; the message says all of it."""


class BootError(CozystackTalosError):
    """Assets do not boot, or a boot can't be tried."""


def said(error: Exception) -> str:
    """Return what an engine's error says, without the id of a trace that Dagger's has behind it and shows anyway."""
    return shown(_TRACE.sub("", str(error)))


def first(error: BaseException) -> BaseException:
    """Return what is to be shown of steps that ran at the same time: the error which ended the others."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def nearest(given: str, allowed: Iterable[str]) -> str | None:
    """Return the name that `given` is most likely meant to be, `None` where none is like it.

    A common beginning counts for more than few differing letters: `qemu-agent` is qemu-guest-agent, not metal-agent.
    """
    names = [name for name in allowed if name]
    if not given or not names:
        return None
    likeness = {name: difflib.SequenceMatcher(None, name, given).ratio() for name in names}

    def best(chosen: list[str]) -> str | None:
        return max(chosen, key=lambda name: likeness[name], default=None)

    plain, first = _letters(given), _words(given)[0]
    return (
        best([name for name in names if _letters(name) == plain])
        or best([name for name in names if _begins(name, given) or _begins(given, name)])
        or best([name for name in names if _words(name)[0] == first and len(_words(name)) > 1])
        or best([name for name in names if likeness[name] >= _ALIKE and name[:_BEGINNING] == given[:_BEGINNING]])
        or best([name for name in names if likeness[name] >= _ALIKE])
    )


#: How alike names must be (0 to 1) to be taken for each other, and letters of a beginning that counts.
_ALIKE = 0.6
_BEGINNING = 3


def _letters(name: str) -> str:
    return "".join(_words(name))


def _words(name: str) -> list[str]:
    return re.split(r"[-_./:+ ]+", name.lower())


def _begins(name: str, start: str) -> bool:
    """Say whether a name begins with another, of which there is enough to tell."""
    return len(start) >= _BEGINNING and name.lower().startswith(start.lower())


def suggest(given: str, allowed: Iterable[str], *, most: int = 20) -> str:
    """Say what to write instead of `given`: the nearest name, else all of them if they are not more than `most`."""
    names = list(allowed)
    if close := nearest(given, names):
        return f"did you mean {close}?"
    if len(names) == 1:
        return f"only {names[0]} is known"
    if len(names) <= most:
        return f"choose one of {', '.join(names)}"
    return f"{len(names)} names are known, none like it"
