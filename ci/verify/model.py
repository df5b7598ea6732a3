"""What is expected of assets, and what the checks say of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ci.errors import CozystackTalosError

if TYPE_CHECKING:
    from collections.abc import Callable

Architecture = Literal["arm64", "amd64"]


class VerifyError(CozystackTalosError):
    """The checks can't begin: no folder, no assets, no valid expectation."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExpectedExtension(_Value):
    """A planned extension."""

    name: str
    #: As the manifest says it; `None` takes any.
    version: str | None = None


class Expectation(_Value):
    """What a plan promises. A field that is `None` or empty is not checked, or taken from the assets themselves."""

    arch: Architecture | None = None
    #: Version of Talos, with the `v`.
    talos: str | None = None
    variant: str | None = None
    #: Exactly these extensions; the index of modules that the imager adds does not count.
    extensions: tuple[ExpectedExtension, ...] | None = None
    #: No extension, file or link below the initramfs may have one of these words in its name: `tailscale`.
    absent: tuple[str, ...] = ()
    #: Arguments that every command line must have.
    kernel_args: tuple[str, ...] = ()
    #: Exactly these files below the assets' root, with the kind that `ci.inspect` finds: `{"boot/vmlinuz": "kernel"}`.
    files: dict[str, str] | None = None
    #: Whether the assets come from the lab's stand-ins.
    stand_in: bool | None = None


def parse_expectation(name: str, text: str | bytes) -> Expectation:
    """Returns the expectation in a JSON document; `name` is what errors call it."""
    try:
        return Expectation.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "document"
        allowed = ", ".join(Expectation.model_fields)
        raise VerifyError(f"{name}: {place}: {first['msg']} (keys are {allowed})") from error


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


@dataclass
class Verdict:
    """What a check's function finds: any problem is a failure, and without any the evidence is shown."""

    problems: list[str] = field(default_factory=list[str])
    evidence: list[str] = field(default_factory=list[str])
    skipped: str | None = None

    def check(self, name: str, sentence: str, most: int = 20) -> Check:
        """Returns this as a check; of very many lines the first ones and their number."""
        if self.problems:
            return Check(id=name, sentence=sentence, status="fail", evidence=_shorten(self.problems, most))
        if self.skipped is not None:
            return Check(id=name, sentence=sentence, status="skip", evidence=(self.skipped,))
        return Check(id=name, sentence=sentence, status="pass", evidence=_shorten(self.evidence, most))


def _shorten(lines: list[str], most: int) -> tuple[str, ...]:
    if len(lines) <= most:
        return tuple(lines)
    return (*lines[:most], f"… and {len(lines) - most} more")


def skip(reason: str) -> Verdict:
    """Returns the verdict on something that can't be asked of these assets."""
    return Verdict(skipped=reason)


@dataclass(frozen=True)
class Requirement:
    """A check before it is run."""

    id: str
    sentence: str
    run: Callable[..., Verdict]
