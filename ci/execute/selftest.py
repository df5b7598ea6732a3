"""The unit tests in a container, and the requirements of built assets, as lines to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagger

from ci.common.errors import BuildError
from ci.execute import commands
from ci.execute.tools import SOURCE, base, crane, python

if TYPE_CHECKING:
    from ci.execute.sealing import BuiltAssets

#: Debian's packages of the programs that the readers are held against, and of the one that pages name.
PROGRAMS: Final = (
    "binutils-multiarch",  # an objdump that knows both architectures
    "cpio",
    "curl",  # what the pages tell to type
    "genisoimage",
    "git",
    "qemu-utils",
    "squashfs-tools",
    "xorriso",
    "xz-utils",
    "zstd",
)

#: Where pip installs to, whichever Python an image has.
_LIBRARIES: Final = "/usr/local/lib"

_MARKS = {"pass": "PASS", "fail": "FAIL", "skip": "SKIP"}


async def unit_tests(source: dagger.Directory) -> str:
    """Run the unit tests of a checkout and return what they print; raises `BuildError` with it when one fails.

    No test is skipped there: the programs that the readers are held against are in the container.
    """
    run = (
        # Debian's packages and Python's are installed at the same time.
        base()
        .with_exec(commands.apt_install(PROGRAMS))
        .with_directory(_LIBRARIES, python(extra="test").directory(_LIBRARIES))
        .with_mounted_file("/usr/local/bin/crane", await crane())
        .with_env_variable("CI", "true")
        .with_directory(SOURCE, source)
        .with_workdir(SOURCE)
        .with_exec(commands.pytest("tests/unit"), expect=dagger.ReturnType.ANY)
    )
    if await run.exit_code() != 0:
        raise BuildError("the unit tests fail:\n" + await run.stdout() + await run.stderr())
    return await run.stdout()


async def requirement_lines(assets: BuiltAssets) -> list[str]:
    """Return a line for each requirement: PASS, FAIL or SKIP, the variant, the requirement's id, its sentence."""
    lines: list[str] = []
    for one in (await assets.report()).checks:
        lines.append(f"{_MARKS[one.status]} {assets.plan.variant} {one.id}: {one.sentence}")
        if one.status == "fail":
            lines += [f"     {evidence}" for evidence in one.evidence]
    return lines
