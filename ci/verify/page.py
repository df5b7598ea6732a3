"""`python -m ci.verify.page FILE`: write docs/checks.md, the page of requirements, from the requirements themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci.verify.extension_images import REQUIREMENTS as EXTENSION_REQUIREMENTS
from ci.verify.model import Part
from ci.verify.requirements import REQUIREMENTS
from ci.verify.verify import PARTS_OF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.verify.model import Requirement

#: Kinds of output as the plan names them, with what the inspection calls them.
_OUTPUTS = {
    "kernel": "kernel",
    "initramfs": "initramfs",
    "cmdline": "cmdline",
    "uki": "uki",
    "installer": "image",
    "iso": "iso",
    "metal, nocloud": "disk",
}

_HEAD = """\
# What is checked

<!-- Written by `python -m ci.verify.page docs/checks.md` from the requirements in ci/verify: change them there. -->

`build` and `test` check what comes out, and refuse assets that fail a requirement. `verify` checks assets of any
origin. The report lists every check, with what was seen: `ok`, `FAIL` with what is wrong and where, or `skip` with the
reason; those of signatures are `verify`'s alone, since files are signed behind their report, and it too.

A check that could look at nothing does not pass. It is skipped, with the true reason: what it looks at is not there, or
was not read (a partition whose file system no reader knows, for example). Where the plan says something that only this
would have shown, it fails: which extensions there are, what must be absent, kernel arguments, the Talos version, the
board's overlay. What was not read of several is treated likewise.

## Requirements of boot assets

"""

_TABLE = """
## What each check looks at

`yes`: looked at, wherever it is inside. `no`: can't be there. A disk image that starts with GRUB has kernel, initramfs
and menu in a partition of XFS, which is read; a partition that can't be read is named, and counts as not looked at.

"""

_EXTENSIONS = """
## Requirements of extensions, before they are packed

Checked on the extensions' images before the imager gets them, all of a plan together.

"""


def render() -> str:
    """Return the page's text."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    yield from _requirements(REQUIREMENTS)
    yield _TABLE
    yield f"| id | {' | '.join(_OUTPUTS)} |\n|---|{'---|' * len(_OUTPUTS)}\n"
    for requirement in REQUIREMENTS:
        cells = (looks_at(requirement, kind) for kind in _OUTPUTS.values())
        yield f"| `{requirement.id}` | {' | '.join('yes' if cell else 'no' for cell in cells)} |\n"
    yield _EXTENSIONS
    yield from _requirements(EXTENSION_REQUIREMENTS)
    yield "\nRequirements of a boot: [boot.md](boot.md).\n"


def _requirements(requirements: tuple[Requirement, ...]) -> Iterator[str]:
    yield "| id | requirement |\n|---|---|\n"
    for requirement in requirements:
        yield f"| `{requirement.id}` | {requirement.sentence} |\n"


def looks_at(requirement: Requirement, kind: str) -> bool:
    """Say whether a check has something to look at in a file of a kind, as the inspection calls kinds."""
    return Part.FILE in requirement.parts or bool(PARTS_OF[kind] & set(requirement.parts))


def main(argv: list[str] | None = None) -> int:
    """Write the page into the file that is named, or print it."""
    for name in (sys.argv[1:] if argv is None else argv) or ["/dev/stdout"]:
        Path(name).write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
