"""The embedded engine gives the answers that Dagger gave."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TOP = HERE.parents[2]
RECORDED: dict[str, Any] = json.loads((HERE / "observed.json").read_text())

ASK = """
import json, sys
import anyio, dagger
from embedded.tests.engine import questions, questions_exec, questions_files, questions_images
async def main():
    async with dagger.connection():
        return {name: await questions.answer(ask) for name, ask in questions.QUESTIONS.items()}
json.dump(anyio.run(main), sys.stdout)
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """All questions asked in one session of `daggerw --lab run`."""
    asked = subprocess.run(
        [TOP / "daggerw", "--lab", "-s", "run", "env", f"PYTHONPATH={TOP}", "python", "-c", ASK],
        stdout=subprocess.PIPE,
        check=True,
        timeout=540,
        env=os.environ | {"DAGGERW_ENGINE": "embedded"},
    )
    return json.loads(asked.stdout)


@pytest.mark.engine
@pytest.mark.parametrize("name", sorted(RECORDED))
def test_answers_as_dagger_does(name: str, answers: dict[str, Any]) -> None:
    from embedded.tests.engine.questions import same

    assert same(name, RECORDED[name], answers[name]), {"dagger": RECORDED[name], "embedded engine": answers[name]}


@pytest.mark.engine
def test_every_recorded_question_is_asked(answers: dict[str, Any]) -> None:
    assert sorted(answers) == sorted(RECORDED)


def test_an_answer_of_another_value_is_noticed() -> None:
    from embedded.tests.engine.questions import same

    assert same("x", {"value": 1}, {"value": 1})
    assert not same("x", {"value": 1}, {"value": 2})
    assert not same("x", {"value": 1}, {"error": "QueryError", "message": "x"})


FAILED = sorted(name for name, answer in RECORDED.items() if answer.get("error") == "QueryError")


def test_what_every_recorded_error_says_is_named() -> None:
    from embedded.tests.engine.questions import SAYS

    assert sorted(SAYS) == FAILED


@pytest.mark.parametrize("name", FAILED)
def test_another_error_than_the_recorded_one_is_noticed(name: str) -> None:
    from embedded.tests.engine.questions import SAYS, same

    recorded = RECORDED[name]
    assert same(name, recorded, recorded)
    assert not same(name, recorded, {"value": None})
    assert not same(name, recorded, {"error": "QueryError", "message": "not supported by the embedded engine: x"})
    assert not same(name, recorded, {"error": "ExecError", "exit_code": 1, "stdout": "", "stderr": recorded["message"]})
    for part in SAYS[name]:
        assert not same(name, recorded, {**recorded, "message": recorded["message"].replace(part, "")})
