"""BuildKit's reports: what a vertex logs is kept once, whoever asks for it and however often it runs."""

from __future__ import annotations

from embedded.engine.api.execs import Command, _label
from embedded.engine.buildkit import BuildKit
from embedded.engine.events import StepEvent
from embedded.engine.protos import control


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
    assert _label(Command(("cat",), f"kind: {'x' * 50}\n")) == "cat"
    assert _label(Command(("cat",), "kind: \x1b[2J\n")) == "cat"
