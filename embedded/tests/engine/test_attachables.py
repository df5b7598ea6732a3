"""The session helper's words, whatever stream they come on, reach the caller."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from embedded.engine import attachables
from embedded.engine.api.context import Engine
from embedded.engine.attachables import Attachables
from embedded.engine.buildkit import SolveError
from embedded.engine.errors import EngineError
from embedded.shown import LINE_LIMIT

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
        ("echo '{\"error\": {\"a\": 1}}'; exit 1", "{'a': 1}"),
        ("printf '\\377\\n'; exit 1", "\ufffd"),
        ("head -c 100000 /dev/zero | tr '\\0' x; echo; exit 1", "x" * LINE_LIMIT + "… (98000 more characters)"),
        ("head -c 200000 /dev/zero | tr '\\0' x >&2; echo >&2; echo last >&2; exit 1", "last"),
        ("head -c 9000000 /dev/zero; exec sleep 30", "the session helper did not answer for 1 s"),
        ("printf 'panic: a slip\\n\\ngoroutine 1 [running]:\\nmain.main()\\n' >&2; exit 2", "panic: a slip"),
        ("exec sleep 30", "the session helper did not answer for 1 s"),
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
        ("read line; echo 'panic: a slip' >&2; exit 2", "panic: a slip"),
        ("read line; echo 'fatal error: out of memory' >&2; echo more >&2; exit 2", "fatal error: out of memory"),
        (
            "read line; head -c 9000000 /dev/zero; exec sleep 30",
            "the session helper answers with more than 4194304 bytes",
        ),
        ('head -c 300000 /dev/zero >&2; read line; echo \'{"n": 1, "error": "no such folder"}\'', "no such folder"),
        ('read line; echo \'{"n": 1, "error": [1]}\'', "[1]"),
        ("read line; exec sleep 30", "the session helper did not answer for 1 s"),
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


async def test_a_session_that_broke_off_is_why_a_solve_fails(tmp_path: Path) -> None:
    session = helper(tmp_path, f"{OPENED}\nread line; echo 'panic: a slip' >&2; exit 2")
    await session.start()
    engine = cast("Any", SimpleNamespace(attachables=session))
    assert session.end == ""
    with pytest.raises(EngineError):
        await session.offer_folder("x", tmp_path)
    found = await Engine.reworded(engine, SolveError("no active session for abc: context deadline exceeded"))
    assert found.message == (
        "the session with the BuildKit engine broke off: panic: a slip; BuildKit says: no active session for abc:"
        " context deadline exceeded"
    )
    await session.close()


async def test_the_helper_keeps_its_state_below_the_cache(tmp_path: Path) -> None:
    session = helper(tmp_path, 'echo "$@" >"${0%/*}/called"\n' + OPENED + "\ncat >/dev/null")
    await session.start()
    await session.close()
    assert (tmp_path / "called").read_text() == f"--addr unix:///no.sock --state {tmp_path / 'state'}\n"
