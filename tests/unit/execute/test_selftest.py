"""What `test` prints, and when it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from ci.common.errors import BuildError
from ci.execute import selftest
from ci.execute.inputs import Inputs
from ci.execute.sealing import BuiltAssets
from ci.execute.selftest import requirement_lines
from ci.main import CozystackTalos
from ci.verify.model import Check
from ci.verify.reported import Report
from tests.unit.planning import plan_of, request

if TYPE_CHECKING:
    import dagger

    from ci.plan.model import Plan

CHECKS = [
    {"id": "kernel.machine", "sentence": "Every kernel is right.", "status": "pass", "evidence": ["boot/vmlinuz"]},
    {"id": "media.bootable", "sentence": "ISO images boot.", "status": "skip", "evidence": ["there is none"]},
]
OF_IMAGES = ["Nothing else."]
FAILED = {"id": "extensions.absent", "sentence": "No trace.", "status": "fail", "evidence": ["usr/bin/x", "usr/bin/y"]}


class Folder:
    """A folder of which every file is the build report."""

    def __init__(self, checks: list[dict[str, Any]]) -> None:
        report = Report(
            stand_in=False,
            variant="spin-only",
            arch="arm64",
            talos="v1.13.6",
            kernel=None,
            extensions=(),
            cmdlines={},
            files=(),
            checks=tuple(Check.model_validate(one) for one in checks),
        )
        self.text = report.model_dump_json()

    def directory(self, path: str) -> Folder:
        assert path.startswith("assets/talos/")
        return self

    def file(self, path: str) -> Folder:
        assert path.startswith("validation/build-report.")
        return self

    async def contents(self) -> str:
        return self.text


def made(plan: Plan, checks: list[dict[str, Any]]) -> BuiltAssets:
    passed = all(one["status"] != "fail" for one in checks)
    return BuiltAssets(plan, cast("dagger.Directory", Folder(checks)), "assets/talos/arm64", passed=passed)


async def test_each_requirement_has_a_line_with_its_variant_and_failures_their_evidence() -> None:
    assert await requirement_lines(made(await plan_of(request()), [*CHECKS, FAILED])) == [
        "PASS spin-only kernel.machine: Every kernel is right.",
        "SKIP spin-only media.bootable: ISO images boot.",
        "FAIL spin-only extensions.absent: No trace.",
        "     usr/bin/x",
        "     usr/bin/y",
    ]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    """Checks by variant, of assets that are made without an engine."""
    checks: dict[str, list[dict[str, Any]]] = {"spin-only": CHECKS, "spin-tailscale": CHECKS}

    async def plan(_self: object, variant: str, *_: object) -> Plan:
        return await plan_of(request(variant))

    async def assets(_inputs: object, plan: Plan, *_: object) -> BuiltAssets:
        return made(plan, checks[plan.variant])

    async def unit_tests(_source: object) -> str:
        return "9 passed"

    async def image_lines(_inputs: object, variant: str) -> tuple[list[str], bool]:
        return [f"PASS {variant} assets image.files: {sentence}" for sentence in OF_IMAGES], True

    monkeypatch.setattr(Inputs, "plan", plan)
    monkeypatch.setattr("ci.execute.several.build_assets", assets)
    monkeypatch.setattr("ci.execute.selftest.unit_tests", unit_tests)
    monkeypatch.setattr("ci.execute.images_check.image_lines", image_lines)
    return checks


async def run() -> str:
    module: Any = CozystackTalos(upstream=None)
    return await module.test(cast("dagger.Directory", None))


async def test_it_prints_the_unit_tests_and_a_line_for_each_requirement_and_variant(
    built: dict[str, list[dict[str, Any]]],
) -> None:
    assert (await run()).splitlines() == [
        "9 passed",
        "PASS spin-only kernel.machine: Every kernel is right.",
        "SKIP spin-only media.bootable: ISO images boot.",
        "PASS spin-only assets image.files: Nothing else.",
        "PASS spin-tailscale kernel.machine: Every kernel is right.",
        "SKIP spin-tailscale media.bootable: ISO images boot.",
        "PASS spin-tailscale assets image.files: Nothing else.",
    ]


async def test_an_image_that_does_not_meet_a_requirement_is_an_error(
    built: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def image_lines(_inputs: object, variant: str) -> tuple[list[str], bool]:
        return [f"FAIL {variant} assets image.files: Nothing else."], variant != "spin-only"

    monkeypatch.setattr("ci.execute.images_check.image_lines", image_lines)
    with pytest.raises(BuildError, match=r"FAIL spin-only assets image\.files: Nothing else\."):
        await run()


@pytest.mark.parametrize("variant", ["spin-only", "spin-tailscale"])
async def test_a_requirement_that_is_not_met_by_one_variant_is_an_error_with_all_lines(
    variant: str, built: dict[str, list[dict[str, Any]]]
) -> None:
    built[variant] = [*CHECKS, FAILED]
    with pytest.raises(BuildError) as raised:
        await run()
    lines = str(raised.value).splitlines()
    assert lines[0] == "a requirement is not met:"
    assert f"FAIL {variant} extensions.absent: No trace." in lines
    assert {line.split()[1] for line in lines[1:] if line.startswith("PASS")} == set(built)


class Container:
    """A container whose command has ended."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.commands: list[list[str]] = []
        self.files: list[str] = []
        self.folders: dict[str, object] = {}
        self.environment: dict[str, str] = {}

    def directory(self, path: str) -> Container:
        return self

    def with_directory(self, path: str, folder: object) -> Container:
        self.folders[path] = folder
        return self

    def with_mounted_file(self, path: str, _: object) -> Container:
        self.files.append(path)
        return self

    def with_env_variable(self, name: str, value: str) -> Container:
        self.environment[name] = value
        return self

    def with_workdir(self, *_: object) -> Container:
        return self

    def with_exec(self, command: list[str], **_named: object) -> Container:
        self.commands.append(command)
        return self

    async def exit_code(self) -> int:
        return self.code

    async def stdout(self) -> str:
        return "1 passed\n" if self.code == 0 else "1 failed\n"

    async def stderr(self) -> str:
        return ""


@pytest.mark.parametrize("code", [0, 1, 2])
async def test_a_unit_test_that_fails_is_an_error_with_what_was_printed(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, of_python = Container(code), Container(0)

    def python(*, extra: str) -> Container:
        assert extra == "test"
        return of_python

    async def crane() -> object:
        return None

    monkeypatch.setattr(selftest, "base", lambda: container)
    monkeypatch.setattr(selftest, "python", python)
    monkeypatch.setattr(selftest, "crane", crane)
    source = cast("dagger.Directory", None)
    if code == 0:
        assert await selftest.unit_tests(source) == "1 passed\n"
    else:
        with pytest.raises(BuildError, match=r"^the unit tests fail:\n1 failed$"):
            await selftest.unit_tests(source)
    install, run = container.commands
    assert {"cpio", "curl", "squashfs-tools", "xorriso"} <= set(install)
    assert run[2] == "pytest"
    assert container.files == ["/usr/local/bin/crane"]
    # no reader goes unheld: what is skipped fails
    assert container.environment == {"CI": "true"}
    assert container.folders == {"/usr/local/lib": of_python, "/src": source}
