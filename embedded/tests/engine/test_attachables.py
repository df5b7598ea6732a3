"""The session helper's words, whatever stream they come on, reach the caller."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded.engine import attachables
from embedded.engine.attachables import Attachables
from embedded.engine.errors import EngineError

OPENED = 'echo \'{"id": "abc"}\''


def helper(folder: Path, body: str) -> Attachables:
    program = folder / "helper"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return Attachables(program, "unix:///no.sock", folder / "state")


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("echo '{\"error\": \"buildkitd at unix:///no.sock does not answer: \\\\u001b[2Jno\"}'; exit 1",
         "buildkitd at unix:///no.sock does not answer: \\x1b[2Jno"),
        ("echo 'panic: a slip'; exit 2", "panic: a slip"),
        ("echo 'a slip' >&2; exit 2", "a slip"),
        ("echo '[]'; exit 1", "[]"),
        ("sleep 30", "the session helper did not answer for 1 s"),
    ],
)  # fmt: skip
async def test_why_no_session_is_opened(tmp_path: Path, body: str, cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachables, "START_SECONDS", 1)
    session = helper(tmp_path, body)
    with pytest.raises(EngineError) as caught:
        await session.start()
    assert caught.value.message == f"the BuildKit engine at unix:///no.sock does not open a session: {cause}"
    await session.close()


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ('read line; echo \'{"n": 1, "error": "no such folder"}\'', "no such folder"),
        ('read line; echo \'{"error": "buildkitd closed the session"}\'', "buildkitd closed the session"),
        ('echo \'{"error": "buildkitd closed the session"}\'; exec <&-; exit 1', "buildkitd closed the session"),
        ("read line; exit 1", "the session ended"),
        ("read line; echo 'panic: a slip'; exit 2", "panic: a slip"),
        ("read line; sleep 30", "the session helper did not answer for 1 s"),
    ],
)
async def test_why_something_is_not_taken(
    tmp_path: Path, body: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachables, "ANSWER_SECONDS", 1)
    session = helper(tmp_path, f"{OPENED}\n{body}")
    await session.start()
    with pytest.raises(EngineError) as caught:
        await session.offer_folder("x", tmp_path)
    assert caught.value.message == f"the session of the BuildKit engine refused dir: {cause}"
    await session.close()


async def test_the_helper_keeps_its_state_below_the_cache(tmp_path: Path) -> None:
    session = helper(tmp_path, 'echo "$@" >"${0%/*}/called"\n' + OPENED + "\ncat >/dev/null")
    await session.start()
    await session.close()
    assert (tmp_path / "called").read_text() == f"--addr unix:///no.sock --state {tmp_path / 'state'}\n"
