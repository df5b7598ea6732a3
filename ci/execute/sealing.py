"""Assets sealed: with their checksums and the report of their checks."""

from __future__ import annotations

import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import dagger

from ci.common.concurrency import gather_two
from ci.common.errors import BuildError
from ci.common.filenames import REPORT
from ci.execute import commands
from ci.execute.sdk import known_by_id
from ci.execute.tools import tools
from ci.verify.reported import parse_report

if TYPE_CHECKING:
    from ci.plan.model import Plan
    from ci.verify.reported import Report

#: The module that seals.
VERIFY: Final = "ci.steps.verify"
#: Where assets are sealed.
_TREE: Final = "/sealed"


class BuiltAssets:
    """What a plan's pipeline made: a folder, sealed with checksums and report."""

    def __init__(
        self, plan: Plan, tree: dagger.Directory, place: str, *, passed: bool, report: str | None = None
    ) -> None:
        self.plan = plan
        #: What `build` returns: the folder at its place.
        self.tree = tree
        self.place = place
        self.folder = tree.directory(place)
        self.passed = passed
        self._text = report
        self._report: Report | None = None

    async def report(self) -> Report:
        """Return the report, which is read once."""
        if self._report is None:
            text = await self.folder.file(REPORT).contents() if self._text is None else self._text
            self._report = parse_report(text, REPORT)
        return self._report


async def seal(plan: Plan, tree: dagger.Directory, place: str, expected: str) -> BuiltAssets:
    """Seal a tree with a plan's assets at a place; the checks may have failed.

    `expected` is what is expected of them, as JSON. Raises `BuildError` where they can't be checked.
    """
    container = await tools(VERIFY)
    run = (
        container.with_mounted_directory(_TREE, await known_by_id(tree))
        .with_new_file("/in/expected.json", expected)
        .with_new_file("/in/plan.json", plan.to_json())
        .with_exec(
            commands.seal(posixpath.join(_TREE, place), "/in/expected.json", "/in/plan.json"),
            expect=dagger.ReturnType.ANY,
        )
    )
    made = run.directory(_TREE)

    async def report() -> str | None:
        with suppress(dagger.QueryError):  # of a run that wrote none
            return await made.directory(place).file(REPORT).contents()
        return None

    # Asked for at the same time: what takes long is the run, which happens once.
    code, (text, sealed) = await gather_two(run.exit_code, lambda: gather_two(report, lambda: known_by_id(made)))
    if code not in commands.CHECKED:
        raise BuildError("the assets can't be checked:\n" + await run.stdout() + await run.stderr())
    return BuiltAssets(plan, sealed, place, passed=code == 0, report=text)
