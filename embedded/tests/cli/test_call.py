"""`call`: values of every kind, results of every kind, failures."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from embedded.cli import changes, lab
from embedded.tests.cli.fake import FakeSession

if TYPE_CHECKING:
    from pathlib import Path

    from embedded.tests.cli.conftest import Dagger
    from embedded.tests.cli.fake import FakeEngine


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize(
    ("args", "given"),
    [
        (["--count", "0x10"], {"count": 16}),
        (["--ratio", "1"], {"ratio": 1}),
        (["--loud"], {"loud": True}),
        (["--colour", "green"], {"colour": "GREEN"}),
        (["--colours", "green,RED", "--colours", "red"], {"colours": ["GREEN", "RED", "RED"]}),
        (["--switches", "true,0"], {"switches": [True, False]}),
        (["--ratios", "1.5,2"], {"ratios": [1.5, 2]}),
        (["--texts", '"a,b",c', "--texts", "d"], {"texts": ["a,b", "c", "d"]}),
        (["--texts="], {"texts": []}),
        (["--platforms", "linux/amd64,linux/arm64"], {"platforms": ["linux/amd64", "linux/arm64"]}),
        (["--build-args", "A=1,B=2"], {"buildArgs": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}),
        (["--buildArgs", "A=1"], {"buildArgs": [{"name": "A", "value": "1"}]}),
        (["--anything", '{"a": [1]}'], {"anything": '{"a": [1]}'}),
        (["--image", "debian:trixie"], {"image": "debian:trixie"}),
        (["--cache", "apt"], {"cache": "apt"}),
        (["--branch", "https://example.org/repo#main"], {"branch": "https://example.org/repo#main"}),
    ],
)
def test_arguments_of_every_kind_arrive(args: list[str], given: dict[str, object], dagger: Dagger) -> None:
    defaults = {"colour": "RED", "texts": ["a", "b"]}

    outcome = dagger("call", "kinds", *args)

    assert outcome.stderr == ""
    assert json.loads(outcome.stdout) == defaults | given


@pytest.mark.usefixtures("more")
def test_every_file_of_a_list_is_looked_up(dagger: Dagger, tmp_path: Path, engine: FakeEngine) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)

    outcome = dagger("call", "kinds", "--files", "a,b")

    assert outcome.code == 0
    asked = [variables["text"] for query, variables in engine.sessions[0].queries if "file { id }" in query]
    assert asked == ["a", "b"]


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["--count", "x"], 'invalid argument "x" for "--count" flag: not a whole number'),
        (["--count", "4000000000"],
         'invalid argument "4000000000" for "--count" flag: value out of range: allowed are -2147483648 to 2147483647'),
        (["--colour", "blue"], 'invalid argument "blue" for "--colour" flag: value should be one of GREEN,RED'),
        (["--cache", ""], 'invalid argument "" for "--cache" flag: cacheVolume name cannot be empty'),
        (["--node", "x"], "unknown flag: --node"),
        (["--files", "nope"],
         'failed to get value for argument "files": stat nope: no such file or directory'),
    ],
)  # fmt: skip
def test_bad_arguments_are_usage_errors(args: list[str], error: str, dagger: Dagger) -> None:
    outcome = dagger("call", "kinds", *args)

    assert outcome.code == 1
    assert outcome.stderr == f"Error: {error}\nRun 'dagger call kinds --help' for usage.\n"


def test_ignore_patterns_go_with_a_given_directory(dagger: Dagger, tmp_path: Path, engine: FakeEngine) -> None:
    (tmp_path / "src").mkdir()
    for name in ("a.toml", "b.txt"):
        (tmp_path / "src" / name).touch()

    outcome = dagger("call", "names", "--source", "src")

    assert outcome.stdout == "a.toml\n"
    assert engine.sessions[0].queries[0][1] == {"text": "src", "exclude": ["*", "!*.toml"]}


def test_directory_with_default_path_is_left_to_the_engine(dagger: Dagger, engine: FakeEngine) -> None:
    dagger("call", "names")

    assert engine.sessions[0].queries == [("query { probe { names } }", {})]


@pytest.mark.usefixtures("more")
def test_secret_without_scheme_is_warned_about_without_showing_it(dagger: Dagger) -> None:
    outcome = dagger("call", "secret", "--first", "GREET_TOKEN")

    assert outcome.stdout == "8"
    assert "no URI scheme" in outcome.stderr
    assert "GREET" not in outcome.stderr


def test_json_keeps_what_lies_inside_a_list(dagger: Dagger) -> None:
    outcome = dagger("call", "-j", "children", "tree", "entries")

    assert json.loads(outcome.stdout) == [{"tree": {"entries": ["a.txt"]}}, {"tree": {"entries": ["b.txt"]}}]


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize(("function", "stdout"), [("flag", "true"), ("ratio", "1.5"), ("missing", "")])
def test_scalars_are_printed_bare(function: str, stdout: str, dagger: Dagger) -> None:
    assert dagger("call", function).stdout == stdout


@pytest.mark.parametrize(
    ("args", "stdout"),
    [
        (["greet", "--name", "ü\u2028"], '"hello ü\u2028"\n'),
        (["add", "--numbers", "1"], "1\n"),
        (["nothing"], ""),
        (["children", "count"], '[\n    {\n        "count": 1\n    },\n    {\n        "count": 2\n    }\n]\n'),
    ],
)
def test_json_is_indented(args: list[str], stdout: str, dagger: Dagger) -> None:
    assert dagger("call", "-j", *args).stdout == stdout


def test_output_of_a_scalar_is_printed_and_saved(dagger: Dagger, tmp_path: Path) -> None:
    outcome = dagger("call", "greet", "--name", "you", "-o", "new/folder/out.txt")

    assert outcome.stdout == "hello you"
    assert outcome.stderr == f'Saved output to "{tmp_path}/new/folder/out.txt".\n'
    assert (tmp_path / "new/folder/out.txt").read_text() == "hello you"


def test_output_of_a_file_may_be_a_folder(dagger: Dagger, tmp_path: Path) -> None:
    outcome = dagger("call", "-o", ".", "child", "--label", "c", "tree", "file", "--path", "c.txt")

    assert outcome.stderr == f'Saved to "{tmp_path}/c.txt".\n'
    assert (tmp_path / "c.txt").read_text() == "1"


def test_output_of_many_directories_is_refused(dagger: Dagger) -> None:
    outcome = dagger("call", "-o", "out", "children", "tree")

    assert outcome.code == 1
    assert "Error: -o can't write a list of Directory" in outcome.stderr


def test_directory_at_the_end_is_evaluated_and_named(dagger: Dagger, engine: FakeEngine) -> None:
    outcome = dagger("call", "child", "--label", "c", "tree")

    assert outcome.stdout == "Directory (write it with -o PATH)\n"
    assert engine.sessions[0].queries[-1][0].endswith("{ tree { sync } } } }")


@pytest.mark.parametrize("silent", [True, False])
def test_failed_command_gives_its_exit_code_and_output(silent: bool, dagger: Dagger) -> None:
    outcome = dagger("core", "container", "with-exec", "--args", "false", "stdout", silent=silent)

    assert outcome.code == 3
    assert outcome.stdout == ""
    assert outcome.stderr == "Error: exit code: 3\nStdout:\nsome output\nStderr:\nsome complaint\n"


def test_core_types_are_called_without_a_module(dagger: Dagger, engine: FakeEngine) -> None:
    engine.module = ""

    outcome = dagger("core", "container", "--platform", "linux/arm64", "with-exec", "--args", "echo,a b", "stdout")

    assert outcome.stdout == "echo a b"


@pytest.mark.parametrize(
    ("words", "stdout"), [(["sync"], "Container (write it with -o PATH)\n"), (["sync", "stdout"], "echo a")]
)
def test_sync_may_end_a_chain_or_stand_in_it(words: list[str], stdout: str, dagger: Dagger, engine: FakeEngine) -> None:
    engine.module = ""

    outcome = dagger("core", "container", "with-exec", "--args", "echo,a", *words)

    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, stdout, "")


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize("words", [("call", "-y", "change"), ("call", "change", "-y"), ("-y", "call", "change")])
def test_changeset_is_applied_with_auto_apply(words: tuple[str, ...], dagger: Dagger, tmp_path: Path) -> None:
    outcome = dagger(*words)

    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "")
    assert (tmp_path / "new.txt").read_text() == "new"


@pytest.mark.usefixtures("more")
def test_changeset_without_terminal_is_an_error(dagger: Dagger, tmp_path: Path) -> None:
    outcome = dagger("call", "change")

    assert outcome.code == 1
    assert outcome.stderr.startswith("Error: 1 path would change and there is no terminal to ask on\n")
    assert "-y" in outcome.stderr
    assert not (tmp_path / "new.txt").exists()


@pytest.mark.usefixtures("more")
def test_empty_changeset_needs_no_answer(dagger: Dagger) -> None:
    assert dagger("call", "change", "--empty").code == 0


@pytest.mark.usefixtures("more")
def test_list_of_changesets_is_merged(dagger: Dagger, tmp_path: Path) -> None:
    assert dagger("call", "changes", "-y").code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"one.txt", "two.txt"}


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize(("answer", "written"), [("y\n", True), ("Yes\n", True), ("\n", False), ("", False)])
def test_terminal_is_asked_about_a_changeset(
    answer: str, written: bool, dagger: Dagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return answer

    monkeypatch.setattr(changes.sys, "stdin", Terminal())

    outcome = dagger("call", "change")

    assert outcome.stderr == "+ new.txt\nApply changes? [y/N] "
    assert (tmp_path / "new.txt").exists() is written


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize(
    ("args", "origin"),
    [
        (["--lab", "call", "origin"], "lab-checkout"),
        (["--lab", "call", "--upstream", "own", "origin"], "own"),
        (["call", "origin"], "none"),
    ],
)
def test_lab_gives_its_checkout_to_the_constructor(
    args: list[str], origin: str, dagger: Dagger, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def arguments() -> dict[str, str]:
        return {"upstream": "lab-checkout", "other": "unused"}

    monkeypatch.setattr(lab, "lab_arguments", arguments)
    for name in ("lab-checkout", "own"):
        (tmp_path / name).mkdir()

    outcome = dagger(*args, silent=False)

    assert outcome.stdout == origin
    assert engine.opened[0]["mode"] == ("lab" if "--lab" in args else "real")
    assert outcome.stderr == (f"{lab.LAB_NOTICE}\n" if "--lab" in args else "")


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the lab have two checkouts of packages, and a registry."""

    def arguments(registry: str) -> dict[str, str]:
        return {"upstream": "packages", "before-upstream": "older", "mirrors": f"ghcr.io={registry}/ghcr.io"}

    monkeypatch.setattr(lab, "lab_arguments", lambda: {"upstream": "lab-checkout"})
    monkeypatch.setattr(lab, "package_arguments", arguments)
    monkeypatch.setattr(FakeSession, "registry", "127.0.0.1:1")
    for name in ("lab-checkout", "packages", "older", "own"):
        (tmp_path / name).mkdir()


@pytest.mark.usefixtures("more", "packages")
@pytest.mark.parametrize(
    ("args", "given"),
    [
        (
            ["--lab", "call", "workloads"],
            {"upstream": "packages", "beforeUpstream": "older", "mirrors": ["ghcr.io=127.0.0.1:1/ghcr.io"]},
        ),
        (
            ["--lab", "call", "workloads", "--upstream", "own", "--before-upstream", "own", "--mirrors", "a=b"],
            {"upstream": "own", "beforeUpstream": "own", "mirrors": ["a=b"]},
        ),
        (
            ["--lab", "call", "--upstream", "own", "workloads"],
            {"beforeUpstream": "older", "mirrors": ["ghcr.io=127.0.0.1:1/ghcr.io"], "constructor": True},
        ),
        (["call", "workloads"], {}),
    ],
)
def test_lab_gives_its_packages_and_its_registry_to_the_function_that_reads_them(
    args: list[str], given: dict[str, Any], dagger: Dagger
) -> None:
    outcome = dagger(*args, silent=False)

    assert json.loads(outcome.stdout) == {"constructor": False, **given}


@pytest.mark.usefixtures("more", "packages")
def test_lab_and_a_release_before_do_not_go_together(dagger: Dagger) -> None:
    outcome = dagger("--lab", "call", "workloads", "--before", "v1.5.4", silent=False)

    assert outcome.code == 1
    assert "and --before asks for another: leave out one of them, or name a checkout with --before-upstream" in (
        outcome.stderr
    )
    assert json.loads(dagger("call", "workloads", "--before", "v1.5.4").stdout)["before"] == "v1.5.4"


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_cancels_the_call_and_closes_the_session(
    number: signal.Signals, code: int, dagger: Dagger, engine: FakeEngine
) -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), number)).start()
    began = time.monotonic()

    outcome = dagger("call", "sleep")

    assert time.monotonic() - began < 2
    assert outcome.code == code
    assert outcome.stderr == "Canceled.\n"
    assert engine.closed == 1


@pytest.mark.usefixtures("more")
def test_a_repeated_signal_does_not_interrupt_the_clean_up(
    dagger: Dagger, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    engine.closing = 0.3
    for delay in (0.3, 0.4, 0.5):
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()

    outcome = dagger("call", "sleep")

    assert (outcome.code, outcome.stderr, engine.closed) == (130, "Canceled.\n", 1)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_output_of_a_scalar_that_cannot_be_written_names_the_file(dagger: Dagger, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()

    outcome = dagger("call", "greet", "--name", "you", "-o", "taken")

    assert (outcome.code, outcome.stderr) == (1, "Error: can't write to taken: Is a directory\n")


@pytest.mark.usefixtures("more")
def test_lab_and_a_release_do_not_go_together(dagger: Dagger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "lab_arguments", dict[str, str])

    outcome = dagger("--lab", "call", "--release", "v1.6.2", "origin", silent=False)

    assert outcome.code == 1
    reason = "--lab brings its own checkout of the upstream, and --release asks for another: leave out one of them"
    assert f"Error: {reason}\n" in outcome.stderr
    assert dagger("call", "--release", "v1.6.2", "origin").code == 0


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize("name", ["update", "outdated"])
def test_lab_has_no_newer_releases(name: str, dagger: Dagger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "lab_arguments", dict[str, str])

    outcome = dagger("--lab", "call", name, silent=False)

    assert outcome.code == 1
    reason = f"--lab brings its own checkout of the upstream, without newer releases for {name}: leave out --lab"
    assert f"Error: {reason}" in outcome.stderr
    assert dagger("call", name).code == 0
    assert dagger("--lab", "call", name, "--repository", "git://host/x", silent=False).code == 0


def test_a_result_that_came_from_the_cache_says_so(dagger: Dagger) -> None:
    assert dagger("call", "greet", "--name", "you", silent=False).stderr == ""
    assert dagger("call", "greet", "--name", "cache").stderr == ""

    outcome = dagger("call", "greet", "--name", "cache", silent=False)

    assert outcome.stdout == "hello cache"
    assert outcome.stderr == "from the cache, without running it again: exec make test\n"
