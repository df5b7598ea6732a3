"""An overlay's image is asked for the planned installer, for each platform that it is run or written on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ci.common.errors import BuildError, UserError
from ci.execute import pulling
from ci.execute.overlay import check_overlay
from tests.unit.catalogs import digest
from tests.unit.engine import Engine
from tests.unit.planning import plan_of, request, variant

if TYPE_CHECKING:
    from ci.plan.model import Plan

OVERLAY = f"ghcr.io/siderolabs/sbc-raspberrypi:v0.2.0@{digest('b')}"
BOARD = f"overlay: {{image: '{OVERLAY}', name: rpi_generic}}\n"
RASPBERRY = {"installers": ["rpi_5", "rpi_generic"]}


async def board(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A board's plan, for nodes of another architecture than the imager's machine."""
    monkeypatch.setattr(pulling, "dag", engine)
    return await plan_of(request(variant(BOARD), outputs=("uki",)))


async def test_an_overlay_that_has_the_planned_installer_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine({}, folders={"linux/amd64": RASPBERRY, "linux/arm64": RASPBERRY})
    await check_overlay(await board(engine, monkeypatch))


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (
            {"linux/amd64": {"installers": ["rockpi4", "rpi_genric"]}},
            (
                "has no installer 'rpi_generic' for linux/amd64, which the variant's overlay names: did you mean "
                "rpi_genric?"
            ),
        ),
        (
            {"linux/amd64": RASPBERRY, "linux/arm64": {"installers": ["rockpi4"]}},
            "has no installer 'rpi_generic' for linux/arm64, which the variant's overlay names: only rockpi4 is known",
        ),
        ({"linux/amd64": {}}, "is no overlay: its image for linux/amd64 has no /installers"),
    ],
)
async def test_an_overlay_without_the_planned_installer_is_refused(
    monkeypatch: pytest.MonkeyPatch, folders: Any, message: str
) -> None:
    plan = await board(Engine({}, folders=folders), monkeypatch)
    with pytest.raises(BuildError) as raised:
        await check_overlay(plan)
    assert str(raised.value) == f"{OVERLAY} {message}"


async def test_an_overlay_named_by_one_platforms_digest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = await board(Engine({}, platforms={OVERLAY: "linux/arm64"}), monkeypatch)
    with pytest.raises(UserError) as raised:
        await check_overlay(plan)
    assert str(raised.value) == (
        f"{OVERLAY} is an image for linux/arm64; an overlay is needed for linux/amd64, where the imager runs it, and "
        "for linux/arm64, which goes to the nodes. Give the digest of the index: `crane digest "
        "ghcr.io/siderolabs/sbc-raspberrypi:v0.2.0` prints it"
    )
