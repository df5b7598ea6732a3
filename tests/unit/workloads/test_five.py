"""Five packages, from their checkout to the report, with registries that answer as the real ones do."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest

from ci.common.arch import Arch
from ci.common.errors import UserError
from ci.execute import workloads
from ci.execute.workloads import Asked, EngineRegistries, Found, selectors
from ci.workloads.find import find_workloads
from ci.workloads.verdict import State
from tests.unit.workloads.five import CILIUM, KILO, KUBEOVN, REDIS, SHADOWBOX, Answering, checkout, images

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ci.workloads.report import Report

MIRRORS = [f"{host}=127.0.0.1:5000/{host}" for host in ("ghcr.io", "quay.io", "docker.io")]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """All registries, at one address as mirrors."""
    answering = Answering(images())

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.scheme == "https":
            raise httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number")
        status, headers, content = answering.answer(request.url.raw_path.decode())

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        return httpx.Response(status, headers=dict(headers), content=chunks())

    mocked = partial(EngineRegistries, transport=httpx.MockTransport(handle))
    monkeypatch.setattr(workloads, "EngineRegistries", mocked)
    return answering


async def reported(*, deep: bool) -> Report:
    asked = Asked.of(Arch.ARM64, None, mirrors=MIRRORS, deep=deep)
    return await workloads.report(Found("v1", find_workloads(checkout())), asked, None)


def states(report: Report) -> dict[str, tuple[State, str]]:
    return {image.reference: (image.state, image.reason) for image in report.verdict.images}


async def test_each_kind_of_image_is_told(registry: Answering) -> None:
    report = await reported(deep=False)
    found = states(report)
    assert found[KILO] == (State.YES, "")
    assert found[KUBEOVN] == (State.NO, "it is there for linux/amd64")
    assert found[CILIUM] == (State.YES, "")
    assert found[SHADOWBOX] == (State.NO, "it is made for linux/amd64 alone")
    assert found[REDIS][0] is State.UNKNOWN
    assert "asks for a login: give --registry-username" in found[REDIS][1]
    assert report.remarks == ("127.0.0.1:5000 limits requests: waiting 0 s",)
    manifests = [path for path in registry.asked if "/manifests/v" in path and "redis" not in path]
    assert len(manifests) == len(set(manifests)) + 1  # the one that was limited


async def test_a_program_for_another_architecture_is_found_deep_inside(registry: Answering) -> None:
    found = states(await reported(deep=True))
    assert found[CILIUM] == (State.NO, "it is labelled arm64, and /manager in it is a program for amd64")
    assert found[KILO] == (State.YES, "")


async def test_what_to_do_about_each(registry: Answering) -> None:
    report = await reported(deep=True)
    advice = {one.reference: one for one in report.advice}
    assert advice[KUBEOVN].obstacles == (
        (
            "packages/system/kubeovn/images/kubeovn/Dockerfile:1: takes ubuntu:24.04 for amd64, whatever is built: "
            "FROM --platform=linux/amd64 ubuntu:24.04"
        ),
        (
            "packages/system/kubeovn/images/kubeovn/Dockerfile:2: compiles for amd64: write GOARCH=$TARGETARCH: "
            "RUN GOARCH=amd64 go build"
        ),
    )
    assert advice[CILIUM].what == "the newest tag with arm64 is quay.io/cilium/operator-generic:v1.20.0"
    assert "none of the newest tags" in advice[SHADOWBOX].what
    patched = [entry["package"] for entry in selectors(Found("v1", find_workloads(checkout())), report.verdict)]
    assert patched == ["system/cilium", "system/kubeovn", "apps/vpn"]


async def test_recorded_answers_make_the_same_report_without_a_registry(registry: Answering) -> None:
    report = await reported(deep=True)
    asked = Asked.of(Arch.ARM64, None, offline=object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    again = await workloads.report(Found("v1", find_workloads(checkout())), asked, report.answers)
    assert again.model_copy(update={"remarks": report.remarks}) == report


async def test_a_layer_that_is_too_large_or_broken_is_not_known(
    registry: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workloads, "LARGEST_LAYER", 10)
    report = await reported(deep=True)
    (problem,) = {entry.problem for entry in report.answers.entries.values()}
    assert problem is not None
    assert "more than 10 bytes" in problem
    assert states(report)[CILIUM][0] is State.YES


def test_arguments_that_do_not_go_together_are_refused() -> None:
    offline = object()
    with pytest.raises(UserError, match="--deep reads images, --offline asks no registry"):
        Asked.of(Arch.ARM64, None, offline=offline, deep=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match="give one of them"):
        Asked.of(Arch.ARM64, None, render=True, rendered=offline)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match="bad mirror"):
        Asked.of(Arch.ARM64, None, mirrors=["ghcr.io"])


async def test_connections_close_with_the_stack() -> None:
    async with AsyncExitStack() as stack:
        registries = EngineRegistries(
            stack, Asked.of(Arch.ARM64, None), print, httpx.MockTransport(lambda _: httpx.Response(404))
        )
        assert await registries.manifest("quay.io/a/b", "v1") is None
    with pytest.raises(RuntimeError, match="closed"):
        await registries.manifest("quay.io/a/b", "v1")
