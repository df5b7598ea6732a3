"""In which of two ways the initramfs is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ci.execute import pipeline
from ci.execute.pipeline import Pipeline
from tests.unit.planning import plan_of, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ci.plan.model import Plan


class Given:
    """Takes down which of the two ways makes the initramfs, and of how many extensions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ways: list[tuple[str, int]] = []

        async def extensions(_: Pipeline) -> None:
            return None

        async def one(*_: object) -> Any:
            return None

        async def assembled(_: Plan, __: object, extensions: Callable[[], Awaitable[list[object]]]) -> None:
            self.ways.append(("assembled", len(await extensions())))

        async def in_one_run(plan: Plan, *_: object) -> None:
            self.ways.append(("in one run", len(plan.extensions)))

        monkeypatch.setattr(Pipeline, "extensions", extensions)
        monkeypatch.setattr(Pipeline, "_packed_extension", one)
        monkeypatch.setattr(pipeline, "assembled", assembled)
        monkeypatch.setattr(pipeline, "in_one_run", in_one_run)


@pytest.mark.parametrize("tag", ["v0.38.2", "v1.6.2"])
async def test_the_initramfs_is_put_together_for_proven_versions(
    tag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = await plan_of(request(tag=tag))
    given = Given(monkeypatch)
    await Pipeline(plan).initramfs()
    assert given.ways == [("assembled", len(plan.extensions))]
    assert capsys.readouterr().err == ""


async def test_a_newer_imager_makes_the_initramfs_in_one_run_which_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = (await plan_of(request())).model_copy(update={"talos_version": "v1.14.0"})
    given = Given(monkeypatch)
    await Pipeline(plan).initramfs()
    assert given.ways == [("in one run", len(plan.extensions))]
    assert "Talos v1.14.0: one imager run packs all extensions" in capsys.readouterr().err


async def test_one_run_that_is_asked_for_needs_no_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = await plan_of(request())
    given = Given(monkeypatch)
    await Pipeline(plan, assembles=False).initramfs()
    assert given.ways == [("in one run", len(plan.extensions))]
    assert capsys.readouterr().err == ""


async def test_without_extensions_there_is_nothing_to_put_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for talos in ("v1.13.6", "v1.14.0"):
        plan = (await plan_of(request())).model_copy(update={"extensions": (), "talos_version": talos})
        given = Given(monkeypatch)
        await Pipeline(plan).initramfs()
        assert given.ways == [("in one run", 0)]
    assert capsys.readouterr().err == ""
