"""How often a call has to wait for the engine, one answer after the other, when everything is cached."""

from __future__ import annotations

import fnmatch
import json
import subprocess
import sys
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import dagger
import pytest

from ci.common import filenames
from ci.common.concurrency import Memo
from ci.common.errors import UserError
from ci.execute import build, sealing, tools
from ci.main import CozystackTalos
from tests.unit.catalogs import IMAGE_DIGESTS, digest
from tests.unit.cozystack import checkout
from tests.unit.engine import engine_error
from tests.unit.rounds import Rounds, answering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.rounds import Path

TOP = FilePath(__file__).parents[3]

#: Answers that wait for one another: each costs a call what the engine takes to answer.
MOST_OF_A_BUILD, MOST_OF_A_PLAN = 16, 7
#: Requests that are made for them.
REQUESTS_OF_A_BUILD, REQUESTS_OF_A_PLAN = 33, 15

OUTPUTS = ["kernel", "initramfs", "installer", "iso"]
FILES = checkout("v1.6.2") | {"image-digests": IMAGE_DIGESTS, filenames.REPORT: "the report"}
COMMIT = '{"commit": "%s", "date": 1700000000}' % ("c" * 40)


def _as_it_is(report: str, _: str) -> str:
    return report


def _contents(path: Path) -> str:
    return FILES[str(path[-2][1]["path"])]


def _reference(path: Path) -> str:
    return f"{path[-2][1]['address']}@{digest('a')}"


def _matching(path: Path) -> list[str]:
    return [name for name in FILES if fnmatch.fnmatch(name, path[-1][1]["pattern"])]


def _there(path: Path) -> bool:
    if path[-1][1]["path"] == ".git/HEAD":
        return True
    return any(name in repr(path) for name in ("/drbd:", "/zfs:"))  # the extensions with modules


ANSWERS: dict[str, Any] = {
    "glob": _matching,
    "size": 100,
    "contents": _contents,
    "exists": _there,
    "stdout": COMMIT,
    "imageRef": _reference,
    "entries": ["image-digests"],
    "label": None,
    "entrypoint": ["/bin/installer"],
    "platform": "linux/arm64",
    "exitCode": 0,
}


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test is a call of its own: what another one was told is of another engine."""
    for name in ("_known", "_sources"):
        monkeypatch.setattr(tools, name, Memo[Any, Any]())
    without_report(monkeypatch)
    yield
    tools.base.cache_clear()
    tools.python.cache_clear()


#: Runs a build as a call does, and tells which of this project's modules were run for it.
SCRIPT = """
import json, sys, types
import anyio
from _pytest.monkeypatch import MonkeyPatch
from tests.unit.execute import test_rounds as rounds
from tests.unit.rounds import Rounds, answering

monkeypatch = MonkeyPatch()
rounds.without_report(monkeypatch)
answering(Rounds(rounds.ANSWERS), monkeypatch)
anyio.run(rounds.module().build, "spin-tailscale", rounds.OUTPUTS)
print(json.dumps([name for name, one in sys.modules.items() if type(one) is types.ModuleType]))
"""

#: Rooms of which a build needs nothing, unless it is to sign, to boot or to publish as well.
UNUSED = {"boot", "publish", "compare", "node", "upkeep", "workloads", "steps"}
#: What arguments and their texts need of them, and what knows where the tools are described.
USED = {"ci.boot.ways", "ci.workloads.names", "ci.workloads.checkout", "ci.upkeep.description", "ci.upkeep.vendors"}


def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the report as the text that it is: the engine has none to read."""
    monkeypatch.setattr(sealing, "parse_report", _as_it_is)
    for name in ("render_summary", "next_steps"):
        monkeypatch.setattr(build, name, _as_it_is)


def module() -> CozystackTalos:
    return CozystackTalos(upstream=dagger.dag.directory(), source_date_epoch=1700000000)


async def test_a_build_waits_for_few_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Rounds(ANSWERS)
    answering(engine, monkeypatch)
    await module().build("spin-tailscale", OUTPUTS)
    assert "the report" in capsys.readouterr().err
    assert len(engine.rounds) <= MOST_OF_A_BUILD, engine.rounds
    assert engine.requests <= REQUESTS_OF_A_BUILD, engine.rounds


async def test_a_plan_waits_for_few_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Rounds(ANSWERS)
    answering(engine, monkeypatch)
    assert "c" * 40 in await module().plan("spin-tailscale", OUTPUTS)
    assert len(engine.rounds) <= MOST_OF_A_PLAN, engine.rounds
    assert engine.requests <= REQUESTS_OF_A_PLAN, engine.rounds


@pytest.mark.parametrize("name", ["/tailscale:", "/installer-base:"])
async def test_an_image_of_another_platform_is_refused_though_more_is_asked_of_it_meanwhile(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def platform(path: Path) -> str:
        return "linux/amd64" if name in path[1][1]["address"] else "linux/arm64"

    engine = Rounds(ANSWERS | {"platform": platform})
    answering(engine, monkeypatch)
    with pytest.raises(UserError, match=f"{name}.* is an image for linux/amd64; the build is for linux/arm64"):
        await module().build("spin-tailscale", OUTPUTS)
    assert "exitCode" not in repr(engine.rounds)


async def test_assets_of_a_seal_that_wrote_no_report_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def exit_code(path: Path) -> int:
        return 2 if "'seal'" in repr(path) else 0

    def contents(path: Path) -> str:
        if path[-2][1]["path"] == filenames.REPORT:
            raise engine_error("no such file")
        return _contents(path)

    engine = Rounds(ANSWERS | {"exitCode": exit_code, "contents": contents, "stdout": COMMIT, "stderr": "no room"})
    answering(engine, monkeypatch)
    with pytest.raises(Exception, match=r"the assets can't be checked:\n.*no room"):
        await module().build("spin-tailscale", OUTPUTS)


def test_a_build_loads_nothing_that_it_does_not_do() -> None:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True)
    run: list[str] = json.loads(done.stdout.splitlines()[-1])
    parts = [(name, name.split(".")) for name in run if name.startswith("ci.")]
    assert len(parts) > 50
    unused = {name for name, words in parts if words[1] in UNUSED and len(words) > 2}
    assert sorted(unused - USED) == []
