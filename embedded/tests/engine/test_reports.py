"""BuildKit's reports: what a vertex logs is kept once, whoever asks for it and however often it runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from embedded.engine import llb
from embedded.engine.api.context import Engine
from embedded.engine.api.execs import Command, _label
from embedded.engine.buildkit import BuildKit, FileStat, Ref, SolveError
from embedded.engine.errors import EngineError
from embedded.engine.events import StepEvent
from embedded.engine.protos import control, gateway
from embedded.engine.waiting import Silence


def started(at: int, *, digest: str = "a", completed: int = 0, cached: bool = False, error: str = "") -> object:
    report = control.StatusResponse()
    vertex = report.vertexes.add(digest=digest, name="exec boom", cached=cached, error=error)
    vertex.started.FromNanoseconds(at)
    if completed:
        vertex.completed.FromNanoseconds(completed)
    return report


def logged(at: int, text: str, stream: int = 2) -> object:
    report = control.StatusResponse()
    report.logs.add(vertex="a", stream=stream, msg=text.encode()).timestamp.FromNanoseconds(at)
    return report


def client(steps: list[StepEvent] | None = None) -> BuildKit:
    return BuildKit("unix:///no.sock", "session", None if steps is None else steps.append)


async def test_a_log_that_two_builds_report_is_kept_once() -> None:
    steps: list[StepEvent] = []
    bk = client(steps)
    for report in (started(1), logged(2, "boom\n"), started(1), logged(2, "boom\n"), started(1, completed=3)):
        bk._note(report)
    assert await bk.streams("a") == (b"", b"boom\n")
    assert "".join(step.log for step in steps) == "boom\n"


async def test_a_line_that_is_printed_twice_is_kept_twice() -> None:
    bk = client()
    for report in (
        started(1),
        logged(2, "boom\n"),
        logged(3, "boom\n"),
        logged(3, "boom\n", 1),
        started(1, completed=4),
    ):
        bk._note(report)
    assert await bk.streams("a") == (b"boom\n", b"boom\nboom\n")


async def test_a_vertex_that_runs_again_has_the_output_of_its_last_run() -> None:
    bk = client()
    for report in (started(1), logged(2, "boom\n"), started(1, completed=3), started(5), logged(6, "boom\n")):
        bk._note(report)
    bk._note(started(5, completed=7))
    assert await bk.streams("a") == (b"", b"boom\n")


def test_only_what_ran_here_did_not_come_from_the_cache() -> None:
    bk = client()
    bk._note(started(1, completed=1, cached=True))
    assert not bk.ran("exec boom")
    bk._note(started(2, completed=3))
    bk._note(started(4, completed=4, cached=True))
    assert bk.ran("exec boom")
    assert not bk.ran("exec other")


PROFILE = """\
arch: arm64
platform: {platform}
secureboot: false
input:
  kernel:
    path: /kind: no
output:
  kind: {kind}
"""


def test_two_runs_of_the_imager_can_be_told_apart() -> None:
    named = [
        _label(Command(("/usr/bin/imager", "-"), PROFILE.format(kind=kind, platform=platform)))
        for kind, platform in (("iso", "metal"), ("image", "metal"), ("image", "nocloud"))
    ]
    assert named == [
        "/usr/bin/imager - < arm64 metal iso",
        "/usr/bin/imager - < arm64 metal image",
        "/usr/bin/imager - < arm64 nocloud image",
    ]


def test_other_input_says_nothing_of_a_command() -> None:
    assert _label(Command(("sh", "-c", "cat\n  -"), "some text: kind\n")) == "sh -c cat   -"
    for names, said in ((["zfs"], "(zfs)"), (["a", "b", "c", "d", "e"], "(a, b, c and 2 more)")):
        tars = "".join(f"    - tarballPath: /in/extensions/{name}.tar\n" for name in names)
        document = f"arch: arm64\nplatform: metal\ninput:\n  systemExtensions:\n{tars}output:\n  kind: initramfs\n"
        assert _label(Command(("imager", "-"), document)) == f"imager - < arm64 metal initramfs {said}"
    assert _label(Command(("cat",), f"kind: {'x' * 50}\n")) == "cat"
    assert _label(Command(("cat",), "kind: \x1b[2J\n")) == "cat"


PULL = "pull ghcr.io/some/image:1 for linux/arm64"


class Bridge(BuildKit):
    """A client whose gateway answers at once, fails, or never answers."""

    def __init__(self, answer: object) -> None:
        super().__init__("unix:///no.sock", "session")
        self.answer = answer

    async def _bridge(self, build: str, method: str, request: Any, answer: Any) -> Any:
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return answer.FromString(self.answer)


@pytest.mark.parametrize("fetched", [frozenset[str](), frozenset({PULL})])
async def test_a_tree_is_read_whether_it_was_fetched_or_made(fetched: frozenset[str]) -> None:
    ref = Ref("build", "id", fetched)
    entry = gateway.ReadDirResponse()
    entry.entries.add(path="name", mode=0o644, size=3, uid=7, gid=8)
    assert await Bridge(entry.SerializeToString()).read_dir(ref, "/") == [FileStat("name", 0o644, 3, "", (7, 8))]
    stat = gateway.StatFileResponse()
    stat.stat.path = "name"
    assert (await Bridge(stat.SerializeToString()).stat(ref, "/name")).name == "name"
    content = gateway.ReadFileResponse(Data=b"abc")
    assert await Bridge(content.SerializeToString()).read_file(ref, "/name") == b"abc"
    assert Ref("build", "id", fetched) == Ref("build", "id")


async def test_a_layer_that_never_comes_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_name: str, _seconds: float) -> bool:
        return False

    client = Bridge(None)
    client._silence = Silence(0.05, ask=silent)
    watch = asyncio.create_task(client._silence.watch())
    with pytest.raises(EngineError, match=r"ghcr\.io did not answer for .*pull ghcr\.io/some/image:1"):
        await asyncio.wait_for(client.read_dir(Ref("build", "id", frozenset({PULL})), "/"), 5)
    watch.cancel()


def image(*names: str) -> llb.Output:
    sources = [
        llb.source(f"docker-image://{name}", {}, "linux/arm64", f"pull {name} for linux/arm64") for name in names
    ]
    return llb.merge(sources)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "failed commit on ref: unexpected commit digest sha256:1, expected sha256:2",
            f"what ghcr.io delivered is not the image that was asked for: it is damaged, or another one: {PULL}: ",
        ),
        ("short read: expected 10 bytes but got 0: unexpected EOF", "ghcr.io ended the connection in the middle of an"),
        ("stat /x: no such file or directory", "stat x: no such file or directory"),
        ("readdirent: not a directory", "path x is a file, not a directory"),
        ("something else", "something else"),
    ],
)
async def test_what_cannot_be_read_names_the_image_that_it_is_of(text: str, message: str, tmp_path: Path) -> None:
    session = cast("Any", SimpleNamespace(end=""))
    engine = Engine(Bridge(SolveError(text)), session, "linux/arm64", tmp_path, tmp_path, llb.SCRATCH)
    tree = image("ghcr.io/some/image:1")
    error = await engine._unread(SolveError(text), "/x", tree)
    assert error.message.startswith(message)
    two = await engine._unread(SolveError("unexpected EOF"), "/x", image("ghcr.io/a:1", "quay.io/b:1"))
    assert two.message == "unexpected EOF", "which of them it was is not known"
