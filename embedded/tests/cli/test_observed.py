"""The questions that the real Dagger v0.21.8 was asked, and its answers; two slips of its own are left out."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from embedded.tests.cli.conftest import Outcome, Runner

RECORDS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "observed-cli.json").read_text())
# `call` alone printed `Query`, a child object an id that nobody can use.
SLIPS = {"call", "call child --label c", "call --json child --label c"}


def errors_of(stderr: str) -> list[str]:
    """Keep what the person is told: from the `Error:` line on, without the engine's transport prefix."""
    told = re.search(r"^(Error: |Saved to ).*", stderr, re.MULTILINE | re.DOTALL)
    return told[0].replace("rpc error: code = Unknown desc = ", "").splitlines() if told else []


@pytest.mark.parametrize("record", [r for r in RECORDS if r["args"] not in SLIPS], ids=lambda record: record["args"])
def test_answers_as_dagger_did(record: dict[str, Any], runner: Runner) -> None:
    outcome = runner(shlex.split(record["args"]))

    expected = {key: record[key].replace("PROBE", str(outcome.folder)) for key in ("stdout", "stderr")}
    assert outcome.code == record["exit_code"], outcome.stderr
    assert outcome.stdout == expected["stdout"]
    assert errors_of(outcome.stderr) == errors_of(expected["stderr"])


def test_call_alone_prints_help(runner: Runner) -> None:
    outcome = runner(["call"])

    assert outcome.code == 0
    assert "FUNCTIONS" in outcome.stdout


@pytest.mark.parametrize(
    ("args", "stdout"),
    [
        ("call child --label c", "ProbeChild (has count, label, times, tree)\n"),
        ("call --json child --label c", '{\n    "_type": "ProbeChild"\n}\n'),
        ("call children", "- ProbeChild (has count, label, times, tree)\n" * 2),
    ],
)
def test_object_at_the_end_says_what_it_has(args: str, stdout: str, runner: Runner) -> None:
    outcome: Outcome = runner(shlex.split(args))

    assert (outcome.code, outcome.stdout) == (0, stdout)


def test_written_directory_holds_what_was_exported(runner: Runner) -> None:
    outcome = runner(["call", "-o", "out3", "child", "--label", "c", "tree"])

    assert (outcome.folder / "out3" / "c.txt").read_text() == "1"
