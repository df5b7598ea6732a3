"""`validation/build-report.json`: the document, and what it has to say of assets."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ci.common.filenames import SIGNATURES, UNLISTED, is_signature
from ci.verify.model import Check, Result, VerifyError
from ci.verify.signatures import read_signatures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets

#: By which a page says it: nothing that is filled in can have it.
STAND_IN_MARK = '<div class="stand-in">'

_BOOT = re.compile(r"validation/boot-[a-z]+\.json")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReportedFile(_Value):
    """One file of the assets."""

    path: str
    kind: str
    size: int
    sha256: str


class ReportedExtension(_Value):
    """One extension of the initramfs."""

    name: str
    version: str
    image: str


class ReportedBoot(BaseModel):
    """One boot that was tried of these assets; its verdict says more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    #: What was booted from: kernel, uki, iso, metal.
    way: str
    outcome: str
    #: Until the machine was up, or the boot was given up.
    seconds: float

    @property
    def picture(self) -> str:
        """Path of the stages over time."""
        return f"validation/boot-{self.way}.svg"


class Report(_Value):
    """The report's JSON document; the text says the same."""

    format: int = 1
    stand_in: bool
    variant: str | None
    arch: str | None
    talos: str | None
    #: Release of the kernel, as its banner says it.
    kernel: str | None
    extensions: tuple[ReportedExtension, ...]
    #: Every command line by the path of what holds it.
    cmdlines: dict[str, str]
    files: tuple[ReportedFile, ...]
    checks: tuple[Check, ...]
    boots: tuple[ReportedBoot, ...] = ()
    #: Whose signature was found on an input, by reference with digest; empty where none was looked for.
    signatures: dict[str, str] = {}
    #: The plan as it was given: every input with its digest and reason.
    plan: Any = None


def make_report(assets: Assets, expectation: Expectation, result: Result, plan: Any = None) -> Report:
    """Return the report of a verification."""
    initramfs = assets.initramfs[:1]
    return Report(
        stand_in=assets.stand_in if expectation.stand_in is None else expectation.stand_in,
        variant=expectation.variant,
        arch=expectation.arch,
        talos=expectation.talos,
        kernel=next((kernel.facts.version for kernel in assets.kernels), None),
        extensions=tuple(
            ReportedExtension(name=layer.name, version=layer.version, image=layer.image)
            for found in initramfs
            for layer in found.facts.layers or ()
        ),
        cmdlines=dict(assets.cmdlines()),
        files=tuple(
            ReportedFile(path=node.name, kind=node.kind, size=node.size, sha256=node.sha256)
            for node in assets.inspection.contents
            if node.name not in UNLISTED and not is_signature(node.name, assets.files)
        ),
        checks=result.checks,
        boots=tuple(_boots(assets)),
        signatures=read_signatures(assets.text(SIGNATURES)),
        plan=plan,
    )


def _boots(assets: Assets) -> Iterator[ReportedBoot]:
    for name in sorted(assets.files):
        if _BOOT.fullmatch(name):
            with suppress(ValidationError):
                yield ReportedBoot.model_validate_json(assets.text(name) or "")


def parse_report(text: str, name: str) -> Report:
    """Return the report in a JSON document."""
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise VerifyError(f"{name}: {'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}") from error
