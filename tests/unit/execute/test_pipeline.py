"""What the pipeline makes of the engine's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from ci.common.arch import Arch
from ci.common.errors import BuildError, first
from ci.execute import pipeline
from ci.execute.pipeline import Pipeline
from tests.unit.engine import engine_error, exec_error
from tests.unit.planning import plan_of, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import dagger

    from ci.plan.model import Plan

REFUSALS = [
    "failed to load LLB: security.insecure is not allowed",
    "this engine refuses privileged execs (security.insecure)",
]


class Failing:
    """A file that can't be made."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def sync(self) -> Failing:
        raise self.error


class Seal(Failing):
    """The container that seals: its run makes all that is asked for, and so fails where one of the outputs does."""

    def __getattr__(self, name: str) -> Any:
        def same(*_: object, **__: object) -> Seal:
            return self

        return same

    async def exit_code(self) -> int:
        raise engine_error("a step of many failed")


async def failure(
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    *,
    tag: str = "v0.38.2",
    seal: bool = False,
    check: Callable[[Pipeline], Awaitable[None]] | None = None,
) -> BaseException:
    """What a build of a disk image ends with when the engine answers so."""
    plan = await plan_of(request(tag=tag, outputs=("metal.raw",)))

    async def nothing(*_: object) -> Any:
        return None

    def nothing_yet(*_: object) -> Any:
        return Seal(error)

    async def sealing(_: str) -> Seal:
        return Seal(error)

    async def known_by_id(made: Seal) -> Seal:
        return made

    async def output(*_: object) -> dagger.File:
        return cast("dagger.File", Failing(error))

    monkeypatch.setattr(Pipeline, "initramfs", nothing)
    monkeypatch.setattr(Pipeline, "check_extensions", check or nothing)
    monkeypatch.setattr(Pipeline, "output", output)
    monkeypatch.setattr(Pipeline, "folder", nothing_yet)
    for module in ("pipeline", "sealing"):
        monkeypatch.setattr(f"ci.execute.{module}.tools", sealing)
        monkeypatch.setattr(f"ci.execute.{module}.known_by_id", known_by_id)
    graph = Pipeline(plan)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the caller looks at it
        await (graph.sealed() if seal else graph.made())
    return first(raised.value)


@pytest.mark.parametrize("text", REFUSALS)
async def test_a_refusal_of_privileges_is_explained(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = await failure(engine_error(text), monkeypatch)
    assert isinstance(error, BuildError)
    assert str(error) == (
        "metal.raw: the engine refuses privileged steps, and this output needs one, because the imager of Talos "
        "v1.11.3 partitions a disk image through a loop device and mounts it; from v1.13 on it does without. Allow "
        "them in the engine's configuration (Dagger: security.insecureRootCapabilities in engine.json; BuildKit: "
        "insecure-entitlements in buildkitd.toml), build for a CozyStack release with Talos v1.13 or newer, or leave "
        "metal.raw out"
    )


async def test_what_is_sealed_fails_with_the_output_that_did(monkeypatch: pytest.MonkeyPatch) -> None:
    error = await failure(engine_error(REFUSALS[0]), monkeypatch, seal=True)
    assert isinstance(error, BuildError)
    answer = engine_error("no space left on device")
    assert await failure(answer, monkeypatch, seal=True) is answer


@pytest.mark.parametrize("seal", [False, True])
async def test_a_refused_extension_is_told_and_not_the_run_that_it_broke(
    monkeypatch: pytest.MonkeyPatch, *, seal: bool
) -> None:
    async def refuse(_: Pipeline) -> None:
        await anyio.sleep(0.01)  # the imager has failed by then
        raise BuildError("an extension is refused")

    error = await failure(exec_error(["/bin/imager", "-"], 1), monkeypatch, seal=seal, check=refuse)
    assert str(error) == "an extension is refused"


async def test_a_privileged_run_that_fails_shows_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    error = await failure(exec_error(["/bin/imager", "-"], 1, stderr="no free loop device\n"), monkeypatch)
    assert isinstance(error, BuildError)
    assert str(error).splitlines() == [
        "metal.raw: the imager failed, with exit code 1: no free loop device",
        (
            "It ran privileged, because the imager of Talos v1.11.3 partitions a disk image through a loop device and "
            "mounts it; from v1.13 on it does without. The engine's machine has no loop devices to give (as with "
            "rootless engines, and in some virtual machines): build for a CozyStack release with Talos v1.13 or newer, "
            "or leave metal.raw out"
        ),
    ]


async def test_another_answer_to_a_privileged_step_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = engine_error("no space left on device")
    assert await failure(answer, monkeypatch) is answer


@pytest.mark.parametrize("answer", [engine_error(REFUSALS[0]), exec_error(["/bin/imager", "-"], 1)])
async def test_an_output_without_privileges_has_nothing_to_do_with_them(
    answer: dagger.QueryError, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await failure(answer, monkeypatch, tag="v1.6.2") is answer


async def test_only_disk_images_of_old_imagers_are_privileged() -> None:
    outputs = ("kernel", "initramfs", "cmdline", "uki", "installer", "iso", "metal", "nocloud")
    for tag, privileged in (("v0.38.2", {"metal.raw.zst", "nocloud.raw.zst"}), ("v1.6.2", set[str]())):
        for arch in Arch:
            plan = await plan_of(request(tag=tag, arch=arch, outputs=outputs))
            assert {output.name for output in plan.outputs if output.privileged} == privileged


class Folder:
    """Takes down the order in which files are copied into it."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def directory(self) -> Folder:
        return self

    def with_file(self, path: str, *_: object, **__: object) -> Folder:
        self.paths.append(path)
        return self


async def test_no_output_waits_to_be_copied_for_the_installer_which_is_made_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Folder()
    monkeypatch.setattr(pipeline, "dag", folder)
    plan = await plan_of(request(outputs=("nocloud", "installer", "iso", "kernel")))
    files = {output.path: cast("dagger.File", None) for output in plan.outputs}
    Pipeline(plan).folder(files)
    assert [path.partition("/")[0] for path in folder.paths] == ["boot", "iso", "nocloud", "installer"]


async def test_a_wrong_overlay_is_told_and_not_the_run_that_it_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: Plan) -> None:
        await anyio.sleep(0.01)  # the imager has failed by then
        raise BuildError("no such installer")

    monkeypatch.setattr(pipeline, "check_overlay", refuse)
    assert str(await failure(exec_error(["/bin/imager", "-"], 1), monkeypatch, tag="v1.6.2")) == "no such installer"
