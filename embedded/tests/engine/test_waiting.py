"""What waits has an end: silent hosts, without BuildKit."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from embedded.engine.api.git import GitRepository, ls_remote
from embedded.engine.errors import EngineError
from embedded.engine.events import StepEvent
from embedded.engine.waiting import LEAST_BYTES, Silence, answers, host_of, network_seconds
from embedded.tests.engine.bad_servers import Registry, serving, silent

PULL = "pull ghcr.io/some/image:1 for linux/arm64"


def report(**given: list[dict[str, Any]]) -> Any:
    """Make one of BuildKit's reports of plain values."""

    def message(fields: dict[str, Any]) -> Any:
        return SimpleNamespace(**fields, HasField=lambda name: bool(fields.get(name)))

    return SimpleNamespace(
        **{kind: [message(one) for one in given.get(kind, [])] for kind in ("vertexes", "statuses", "logs")}
    )


def started(name: str = PULL, digest: str = "a") -> Any:
    return report(vertexes=[{"digest": digest, "name": name, "started": True}])


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def is_silent(_name: str, _seconds: float) -> bool:
    return False


async def is_alive(_name: str, _seconds: float) -> bool:
    return True


def silence(ask: Any, seconds: float = 0.05) -> Silence:
    return Silence(seconds, ask=ask)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def awaited(watching: Silence, names: set[str], work: Any = None, seconds: float = 3.0) -> Any:
    watch = asyncio.create_task(watching.watch())
    try:
        return await asyncio.wait_for(watching.ended(frozenset(names), work or for_ever()), seconds)
    finally:
        watch.cancel()


@pytest.mark.parametrize(
    ("name", "host"),
    [
        (PULL, "ghcr.io"),
        ("pull 127.0.0.1:5000/x:1 for linux/amd64", "127.0.0.1:5000"),
        ("fetch https://github.com/a/b.git refs/tags/v1", "github.com"),
        ("fetch https://me:***@host:8443/a refs/heads/x", "host:8443"),
        ("fetch git@github.com:a/b HEAD", "github.com:a"),
        ("push registry.example.com/x:1", "registry.example.com"),
        ("resolve image config for docker-image://docker.io/library/debian:13", "docker.io"),
        ("exec pull x", ""),
        ("pulling x", ""),
        ("upload /src", ""),
    ],
)
def test_the_host_is_that_of_the_name(name: str, host: str) -> None:
    assert host_of(name) == host


async def test_a_silent_host_ends_what_needs_it_with_its_name() -> None:
    watching = silence(is_silent)
    watching.note(started())
    with pytest.raises(EngineError) as caught:
        await awaited(watching, {PULL, "exec true"})
    assert caught.value.message == f"ghcr.io did not answer for 0 s ({PULL})"
    assert "COZYSTACK_TALOS_NETWORK_SECONDS" in caught.value.hint


async def test_what_does_not_need_it_goes_on() -> None:
    watching = silence(is_silent)
    watching.note(started())
    work = asyncio.sleep(0.3, "done")
    assert await awaited(watching, {"pull quay.io/other:1 for linux/amd64"}, work) == "done"


async def test_a_host_that_answers_gets_more_time_and_not_for_ever() -> None:
    watching = silence(is_alive)
    watching.note(started())
    begin = time.monotonic()
    with pytest.raises(EngineError, match=r"ghcr\.io did not answer for"):
        await awaited(watching, {PULL})
    assert time.monotonic() - begin >= 0.5


@pytest.mark.parametrize(
    "moves",
    [
        {"statuses": [{"vertex": "a", "ID": "sha256:1", "current": 5}]},
        {"logs": [{"vertex": "a", "msg": b"Counting objects"}]},
    ],
)
async def test_what_moves_is_not_silent(moves: dict[str, Any]) -> None:
    watching = silence(is_silent, seconds=0.2)
    watching.note(started())

    async def work() -> str:
        for number in range(20):
            await asyncio.sleep(0.05)
            for status in moves.get("statuses", []):
                status["current"] = number * LEAST_BYTES
            watching.note(report(**moves))
        return "done"

    assert await awaited(watching, {PULL}, work()) == "done"


async def test_a_report_that_repeats_itself_is_silence() -> None:
    watching = silence(is_silent, seconds=0.2)
    watching.note(started())

    async def work() -> None:
        while True:
            await asyncio.sleep(0.02)
            watching.note(report(statuses=[{"vertex": "a", "ID": "sha256:1", "current": 5}]))

    with pytest.raises(EngineError, match=r"ghcr\.io did not answer"):
        await awaited(watching, {PULL}, work())


async def test_who_sends_a_byte_now_and_then_is_silent() -> None:
    watching = silence(is_silent, seconds=0.2)
    watching.note(started())

    async def work() -> None:
        for number in range(1000):
            await asyncio.sleep(0.02)
            watching.note(report(statuses=[{"vertex": "a", "ID": "sha256:1", "current": number}]))

    with pytest.raises(EngineError, match=r"ghcr\.io did not answer"):
        await awaited(watching, {PULL}, work())


async def test_what_is_pulled_when_it_is_read_is_watched_while_it_is() -> None:
    watching = silence(is_silent)
    with watching.reading(frozenset({PULL})), pytest.raises(EngineError, match=r"ghcr\.io did not answer"):
        await awaited(watching, {PULL})
    with watching.reading(frozenset({PULL})):
        watching.note(report(statuses=[{"vertex": "other", "ID": "extracting sha256:1"}]))
        assert await awaited(watching, {PULL}, asyncio.sleep(0.5, "done")) == "done"
    assert await awaited(watching, {PULL}, asyncio.sleep(0.3, "done")) == "done"


async def test_unpacking_is_not_the_networks_work() -> None:
    watching = silence(is_silent)
    watching.note(started())
    watching.note(report(statuses=[{"vertex": "a", "ID": "extracting sha256:1"}]))
    assert await awaited(watching, {PULL}, asyncio.sleep(0.5, "done")) == "done"
    watching.note(report(statuses=[{"vertex": "a", "ID": "extracting sha256:1", "completed": True}]))
    with pytest.raises(EngineError):
        await awaited(watching, {PULL})


async def test_what_has_ended_is_not_watched() -> None:
    watching = silence(is_silent)
    watching.note(started())
    watching.note(report(vertexes=[{"digest": "a", "name": PULL, "started": True, "completed": True}]))
    assert await awaited(watching, {PULL}, asyncio.sleep(0.3, "done")) == "done"


async def test_a_push_may_last_as_long_as_its_registry_answers() -> None:
    watching = silence(is_alive)
    with watching.pushing("registry.example.com/x:1") as name:
        assert await awaited(watching, {name}, asyncio.sleep(1.0, "done")) == "done"
    watching = silence(is_silent)
    silent_push = pytest.raises(EngineError, match=r"registry\.example\.com did not answer")
    with watching.pushing("registry.example.com/x:1") as name, silent_push:
        await awaited(watching, {name})


async def test_a_push_that_never_ends_ends_though_its_registry_answers() -> None:
    watching = silence(is_alive)
    ends = pytest.raises(EngineError, match=r"registry\.example\.com did not answer for")
    with watching.pushing("registry.example.com/x:1") as name, ends:
        await awaited(watching, {name}, seconds=6.0)


async def test_an_error_of_the_work_comes_as_it_is() -> None:
    async def fails() -> None:
        raise EngineError("something else")

    with pytest.raises(EngineError, match="something else"):
        await awaited(silence(is_silent), {PULL}, fails())


async def test_a_short_question_has_the_limit_itself() -> None:
    with pytest.raises(EngineError, match=r"ghcr\.io did not answer for 0 s \(look up ghcr\.io/x:1\)"):
        await silence(is_alive).limited("ghcr.io", "look up ghcr.io/x:1", for_ever())


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_the_limit_is_a_number_of_seconds(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COZYSTACK_TALOS_NETWORK_SECONDS", value)
    with pytest.raises(EngineError, match="COZYSTACK_TALOS_NETWORK_SECONDS is"):
        network_seconds()


def test_the_limit_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert network_seconds() == 60
    monkeypatch.setenv("COZYSTACK_TALOS_NETWORK_SECONDS", "2.5")
    assert network_seconds() == 2.5


@pytest.fixture
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_direct")
async def test_who_takes_a_connection_and_says_nothing_does_not_answer() -> None:
    with silent() as where:
        assert not await answers(f"pull {where}/x:1 for linux/amd64", 0.3)
        assert not await answers(f"fetch git://{where}/x HEAD", 0.3)
        assert not await answers(f"fetch http://{where}/x HEAD", 0.3)


@pytest.mark.usefixtures("_direct")
async def test_any_answer_is_one() -> None:
    with serving(Registry) as where:
        assert await answers(f"pull {where}/x:1 for linux/amd64", 5)
        assert await answers(f"fetch http://{where}/x HEAD", 5)
    assert await answers("pull 127.0.0.1:1/x:1 for linux/amd64", 5), "refused: BuildKit reports that itself"
    assert await answers("push no-such-host.invalid/x", 5)


@pytest.mark.parametrize("scheme", ["git", "http"])
async def test_a_silent_git_server_is_named_in_time_and_shown_while_it_waits(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = "" if scheme == "git" else "me:s3cret@"  # git's own protocol knows no users
    monkeypatch.setenv("COZYSTACK_TALOS_NETWORK_SECONDS", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    steps: list[StepEvent] = []
    engine = cast("Any", SimpleNamespace(on_step=steps.append, unreachable_hint=""))
    begin = time.monotonic()
    with silent() as where, pytest.raises(EngineError) as caught:
        await ls_remote(engine, GitRepository(f"{scheme}://{user}{where}/x.git"))
    assert time.monotonic() - begin < 5
    assert caught.value.message.startswith(f"{where} did not answer for 1 s (look up refs of {scheme}://")
    assert "s3cret" not in caught.value.message
    assert "set COZYSTACK_TALOS_NETWORK_SECONDS to wait longer" in caught.value.hint
    assert [step.name for step in steps] == [
        f"look up refs of {scheme}://{user.replace('s3cret', '***')}{where}/x.git"
    ] * 2
    assert steps[0].completed is None
    assert steps[1].error


async def test_gits_own_words_and_the_address_are_shown_without_password_and_controls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    git = tmp_path / "git"
    said = "fatal: \\033[2J no \\342\\200\\256 %s and me:s3cret@host\\r\\nhint: more\\n"
    git.write_text(f"#!/bin/sh\nprintf '{said}' \"$3\" >&2\nexit 128\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    engine = cast("Any", SimpleNamespace(on_step=None, unreachable_hint=""))
    with pytest.raises(EngineError) as caught:
        await ls_remote(engine, GitRepository("https://me:s3cret@host/x"))
    assert caught.value.message == (
        "can't read the git repository https://me:***@host/x: "
        "fatal: \\x1b[2J no \\u202e https://***@host/x and ***@host"
    )
