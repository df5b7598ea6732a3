"""Whether a plan, built twice, gives the same bytes, and whether several imager runs add up to a single one."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import TYPE_CHECKING

import dagger

from ci.common.errors import AssetsError, UserError, suggest
from ci.common.progress import say
from ci.execute import commands
from ci.execute.tools import tools

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.execute.inputs import Inputs
    from ci.execute.pipeline import Pipeline
    from ci.plan.model import Plan
    from ci.report.tables import Format


class Against(StrEnum):
    """What a build is compared with."""

    #: Another build of the same plan.
    BUILD = "build"
    #: One imager run with all extensions, in place of the runs that the initramfs is put together from.
    IMAGER = "imager"


def parse_against(text: str) -> Against:
    """Read `build` or `imager`."""
    names = [one.value for one in Against]
    if text not in names:
        raise UserError(f"nothing to compare with is called {text!r}: {suggest(text, names)}")
    return Against(text)


async def reproduce(inputs: Inputs, plan: Plan, form: Format, against: Against = Against.BUILD) -> str:
    """Build twice, compare byte by byte, and return every output with its checksum.

    Two builds are made without the cache where the imager runs. Against the imager, the first build's initramfs is put
    together from several imager runs, whatever the Talos version, and the second one's is made in one. Raises
    `AssetsError` with the first difference of every output that is not the same.
    """
    if against is Against.IMAGER:
        builds = {
            "the initramfs put together from several imager runs": await inputs.pipeline(plan, assembles=True),
            "the initramfs made in one imager run": await inputs.pipeline(plan, assembles=False),
        }
        return await _compared(builds, form, "what several imager runs add up to is not what one run makes:\n")
    builds = {f"build {number} of 2": await inputs.pipeline(plan, attempt=uuid.uuid4().hex) for number in (1, 2)}
    return await _compared(builds, form, "two builds of the same plan differ:\n")


async def _compared(builds: Mapping[str, Pipeline], form: Format, complaint: str) -> str:
    container = await tools("ci.steps.compare")
    # One after the other: at the same time, both might find the same second on the clock.
    for name, (title, pipeline) in zip(("one", "other"), builds.items(), strict=True):
        say(title)
        files = pipeline.folder(await pipeline.made())
        container = container.with_mounted_directory(f"/{name}", files, read_only=True)
    run = container.with_exec(commands.compare("/one", "/other", form.value), expect=dagger.ReturnType.ANY)
    if await run.exit_code() != 0:
        raise AssetsError(complaint + await run.stdout() + await run.stderr())
    return await run.stdout()
