"""What the checks say of assets."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from ci.common.errors import CozystackTalosError
from ci.common.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable


class VerifyError(CozystackTalosError):
    """The checks can't begin: no folder, no assets, no valid expectation."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Status = Literal["pass", "fail", "skip"]


class Check(_Value):
    """One requirement and how it went."""

    #: Stays the same from release to release.
    id: str
    sentence: str
    status: Status
    #: What was seen; of a failure what is wrong, one line each; of a skipped check why.
    evidence: tuple[str, ...]


class Result(_Value):
    """All checks of one verification, in order."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status == "fail")


class Part(StrEnum):
    """What a check looks at inside assets: the nouns of the requirements' sentences."""

    #: Any file at all, and what is written about the files.
    FILE = "file"
    KERNEL = "kernel"
    #: The initramfs, with the extensions in it.
    INITRAMFS = "initramfs"
    CMDLINE = "kernel command line"
    MENU = "menu of GRUB"
    UKI = "unified kernel image"
    #: Boot loaders and other programs for firmware.
    LOADER = "boot loader"
    IMAGE = "installer image"
    #: ISO and disk images.
    MEDIUM = "ISO or disk image"
    DISK = "disk image"


@dataclass
class Verdict:
    """What a check's function finds: any problem is a failure, and without any the evidence is shown.

    What the check should have looked at and could not is `unseen`: then it does not pass, whatever the rest is like.
    """

    problems: list[str] = field(default_factory=list[str])
    evidence: list[str] = field(default_factory=list[str])
    skipped: str | None = None
    unseen: list[str] = field(default_factory=list[str])

    def check(self, name: str, sentence: str, most: int = 20) -> Check:
        """Return this as a check; of very many lines the first ones and their number."""
        if self.problems:
            return Check(id=name, sentence=sentence, status="fail", evidence=_shorten(self.problems, most))
        if self.unseen:
            return Check(id=name, sentence=sentence, status="skip", evidence=_shorten(self.unseen, most))
        if self.skipped is not None:
            return Check(id=name, sentence=sentence, status="skip", evidence=_shorten([self.skipped], most))
        return Check(id=name, sentence=sentence, status="pass", evidence=_shorten(self.evidence, most))


def _shorten(lines: list[str], most: int) -> tuple[str, ...]:
    seen = tuple(map(escaped, lines[:most]))
    return seen if len(lines) <= most else (*seen, f"… and {len(lines) - most} more")


def skip(reason: str) -> Verdict:
    """Return the verdict on something that these assets can't be asked."""
    return Verdict(skipped=reason)


def _nothing(_: Any) -> str | None:
    return None


@dataclass(frozen=True)
class Requirement:
    """A check before it is run."""

    id: str
    sentence: str
    run: Callable[..., Verdict]
    #: What it looks at; where none of it is there, it is not run.
    parts: tuple[Part, ...] = ()
    #: What an expectation says that only these parts can show, in words; `None` where it says nothing of them.
    promise: Callable[[Any], str | None] = _nothing
    #: Whether what shows a promise has to be there, and not only has to be read where it is.
    is_needed: bool = True
