"""The image of a board's overlay: what it holds, and what it leaves in assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagger
import yaml

from ci.common.errors import BuildError, suggest
from ci.execute import commands
from ci.execute.pulling import pull
from ci.execute.tools import tools
from ci.plan import profile
from ci.plan.expectation import ExpectedOverlay

if TYPE_CHECKING:
    from ci.plan.expectation import Expectation
    from ci.plan.model import Plan, PlannedOverlay

#: Where an overlay's image has its installers.
INSTALLERS: Final = "installers"


async def overlay_root(overlay: PlannedOverlay, platform: str) -> dagger.Directory:
    """Return the file tree of an overlay's image of one platform."""
    needed = f"{overlay.host_platform}, where the imager runs it, and for {overlay.platform}, which goes to the nodes"
    instead = (
        f"an overlay is needed for {needed}. Give the digest of the index: `crane digest {overlay.reference}` prints it"
    )
    return (await pull(overlay, platform, instead)).rootfs()


async def with_overlay(expected: Expectation, plan: Plan) -> Expectation:
    """Return an expectation with what the plan's overlay leaves in assets, as its own installer shows it."""
    overlay = plan.overlay
    if overlay is None:
        return expected
    container = await tools("ci.steps.overlay")
    for path, platform in (("/host", overlay.host_platform), ("/nodes", overlay.platform)):
        container = container.with_mounted_directory(path, await overlay_root(overlay, platform), read_only=True)
    shown = container.with_new_file("/in/options.yaml", yaml.safe_dump(overlay.options)).with_exec(
        commands.describe_overlay("/host", "/nodes", overlay.name, "/in/options.yaml", "/out.json"),
        expect=dagger.ReturnType.ANY,
    )
    if await shown.exit_code() != 0:
        raise BuildError(f"{overlay.pinned}: {(await shown.stderr()).removeprefix('error: ').rstrip()}")
    found = ExpectedOverlay.model_validate_json(await shown.file("/out.json").contents())
    return expected.model_copy(update={"overlay": found})


async def check_overlay(plan: Plan) -> None:
    """Raise `BuildError` for an overlay without the planned installer, where the imager only misses a file."""
    overlay = plan.overlay
    if overlay is None:
        return
    for platform in profile.overlay_platforms(overlay):
        root = await overlay_root(overlay, platform)
        names = await root.entries(path=INSTALLERS) if await root.exists(INSTALLERS) else []
        if overlay.name not in names:
            raise BuildError(
                f"{overlay.pinned} has no installer {overlay.name!r} for {platform}, which the variant's overlay "
                f"names: {suggest(overlay.name, names)}"
                if names
                else f"{overlay.pinned} is no overlay: its image for {platform} has no /{INSTALLERS}"
            )
