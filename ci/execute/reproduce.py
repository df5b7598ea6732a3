"""Whether a plan, built twice, gives the same bytes."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import dagger

from ci.common.errors import AssetsError
from ci.common.progress import say
from ci.execute import commands
from ci.execute.tools import tools

if TYPE_CHECKING:
    from ci.execute.inputs import Inputs
    from ci.plan.model import Plan
    from ci.report.tables import Format


async def reproduce(inputs: Inputs, plan: Plan, form: Format) -> str:
    """Build twice, without the cache where the imager runs, and return every output with its checksum.

    Raises `AssetsError` with the first difference of every output that is not the same byte for byte.
    """
    container = await tools("ci.steps.compare")
    # One after the other: at the same time, both might find the same second on the clock.
    for number, name in enumerate(("one", "other"), 1):
        say(f"build {number} of 2")
        pipeline = await inputs.pipeline(plan, attempt=uuid.uuid4().hex)
        files = pipeline.folder(await pipeline.made())
        container = container.with_mounted_directory(f"/{name}", files, read_only=True)
    run = container.with_exec(commands.compare("/one", "/other", form.value), expect=dagger.ReturnType.ANY)
    if await run.exit_code() != 0:
        raise AssetsError("two builds of the same plan differ:\n" + await run.stdout() + await run.stderr())
    return await run.stdout()
