"""The commands beside `call`, and the options of all."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from embedded.setup.errors import SetupError
from embedded.tests.cli.conftest import TOP

if TYPE_CHECKING:
    from pathlib import Path

    from embedded.tests.cli.conftest import Dagger
    from embedded.tests.cli.fake import FakeEngine


def without_times(text: str) -> list[str]:
    return re.sub(r"\[\d+\.\ds\]", "[T]", text).splitlines()


@pytest.mark.usefixtures("more")
def test_check_lists_every_check_that_needs_no_arguments(dagger: Dagger) -> None:
    assert dagger("check", "-l").stdout.splitlines() == [
        "Name              Description",
        "more:broken       A check that fails in a container.",
        "more:suite:lint   Check the style.",
        "more:suite:unit   -",
    ]


@pytest.mark.usefixtures("more")
def test_check_runs_all_and_fails_when_one_does(dagger: Dagger) -> None:
    outcome = dagger("check")

    assert outcome.code == 1
    assert sorted(without_times(outcome.stdout)) == sorted(
        [
            "more:broken ERROR [T]",
            "  exit code: 3",
            "  some output",
            "  some complaint",
            "more:suite:lint OK [T]",
            "more:suite:unit ERROR [T]",
            "  FunctionError: 1 is not 2",
        ]
    )
    assert outcome.stderr == "Error: 2 checks failed\n"


def test_check_that_passes_exits_with_zero(dagger: Dagger) -> None:
    outcome = dagger("check")

    assert (outcome.code, outcome.stderr) == (0, "")
    assert without_times(outcome.stdout) == ["probe:healthy OK [T]"]


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["suite"], ["more:suite:lint", "more:suite:unit"]),
        (["more:suite:lint"], ["more:suite:lint"]),
        (["suite:*"], ["more:suite:lint", "more:suite:unit"]),
        (["**:lint"], ["more:suite:lint"]),
        (["br*"], ["more:broken"]),
        (["*"], ["more:broken"]),
        (["more"], ["more:broken", "more:suite:lint", "more:suite:unit"]),
        (["broken", "suite:unit"], ["more:broken", "more:suite:unit"]),
    ],
)
def test_check_takes_patterns(patterns: list[str], names: list[str], dagger: Dagger) -> None:
    listed = dagger("check", "-l", *patterns).stdout.splitlines()[1:]

    assert [line.split()[0] for line in listed] == names


def test_check_pattern_that_matches_nothing_is_an_error(dagger: Dagger) -> None:
    outcome = dagger("check", "helthy")

    assert outcome.code == 1
    assert outcome.stderr == "Error: no check matches 'helthy'; there are: probe:healthy\n"


@pytest.mark.usefixtures("more")
def test_check_stops_after_the_first_failure_when_asked(dagger: Dagger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)

    outcome = dagger("check", "--failfast")

    assert [line for line in without_times(outcome.stdout) if line.startswith("more")] == ["more:broken ERROR [T]"]


def test_run_gives_the_session_and_passes_the_exit_code(dagger: Dagger) -> None:
    script = 'echo "$DAGGER_SESSION_PORT $DAGGER_SESSION_TOKEN $1"; command -v python; exit 7'

    outcome = dagger("run", "sh", "-c", script, "sh", "--help")

    assert outcome.code == 7
    assert outcome.stdout == f"4321 fake-token --help\n{sys.prefix}/bin/python\n"


@pytest.mark.parametrize("callers", [{}, {"PYTHONPATH": "/own", "PYTHONDONTWRITEBYTECODE": "1"}])
def test_run_gives_the_command_the_callers_python_settings(
    callers: dict[str, str], dagger: Dagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    engines = {"PYTHONPATH": "/engine", "PYTHONSAFEPATH": "1"}
    for name, value in {**engines, **{f"DAGGERW_{name}": value for name, value in callers.items()}}.items():
        monkeypatch.setenv(name, value)

    outcome = dagger("run", "env")

    found = dict(line.split("=", 1) for line in outcome.stdout.splitlines() if "PYTHON" in line.partition("=")[0])
    assert {name: value for name, value in found.items() if name != "PYTHONUNBUFFERED"} == callers


def test_run_does_not_load_the_module(dagger: Dagger, engine: FakeEngine) -> None:
    engine.module = ""

    assert dagger("run", "true").code == 0


def test_run_reports_the_signal_that_ended_the_command(dagger: Dagger) -> None:
    assert dagger("run", "sh", "-c", "kill -KILL $$").code == 128 + signal.SIGKILL


def test_run_passes_signals_on(dagger: Dagger) -> None:
    script = "trap 'echo told; exit 5' TERM; echo up; while :; do sleep 0.05; done"
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()

    outcome = dagger("run", "sh", "-c", script)

    assert (outcome.code, outcome.stdout) == (5, "up\ntold\n")


def test_run_takes_options_before_its_command_only(dagger: Dagger, engine: FakeEngine) -> None:
    outcome = dagger("run", "--progress", "plain", "-s", "--focus", "echo", "--progress", "nonsense", "-i")

    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "--progress nonsense -i\n", "")


def test_run_names_a_command_that_does_not_exist(dagger: Dagger) -> None:
    outcome = dagger("run", "no-such-command")

    assert outcome.code == 1
    assert outcome.stderr == 'Error: exec: "no-such-command": executable file not found in $PATH\n'


def test_run_without_command_is_a_usage_error(dagger: Dagger) -> None:
    assert dagger("run").stderr.endswith("Run 'dagger run --help' for usage.\n")


def test_killed_run_takes_its_command_along(tmp_path: Path) -> None:
    program = (
        "import sys; from embedded.cli.app import main; from embedded.tests.cli.fake import FakeEngine;"
        "sys.exit(main(['run', 'sh', '-c', 'echo $$ > pid; exec sleep 60'], FakeEngine()))"
    )
    env = {**os.environ, "PYTHONPATH": str(TOP)}
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=env)
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text().strip()):
        assert parent.poll() is None
    child = int(pid.read_text())

    parent.kill()
    parent.wait()

    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        if _state(child) == "Z":
            break
        threading.Event().wait(0.02)
    else:
        pytest.fail("the command outlived the killed run")


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0]


def test_query_reads_a_document_from_standard_input(dagger: Dagger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("query($n: String!) { probe { greet(name: $n) } version }"))

    outcome = dagger("query", "--var", "n=you", "-m", ".")

    assert json.loads(outcome.stdout) == {"probe": {"greet": "hello you"}, "version": "v0.21.8"}


def test_query_reads_a_document_from_a_file(dagger: Dagger, tmp_path: Path) -> None:
    (tmp_path / "dagger.json").touch()
    (tmp_path / "doc.graphql").write_text("query($n: Int!) { probe { add(numbers: [$n]) } }")

    outcome = dagger("query", "--doc", "doc.graphql", "--var-json", '{"n": 3}')

    assert json.loads(outcome.stdout) == {"probe": {"add": 3}}


def test_query_needs_no_module(dagger: Dagger, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.module = ""
    monkeypatch.setattr(sys, "stdin", io.StringIO("{ version }"))

    assert json.loads(dagger("query").stdout) == {"version": "v0.21.8"}


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["--doc", "none"], "can't read --doc none: No such file or directory"),
        (["--var", "n"], '--var takes key=value, not "n"'),
        (["--var-json", "{"], "--var-json is not JSON"),
        ([], "Cannot query field 'nonsense' on type 'Query'."),
    ],
)
def test_query_says_what_is_wrong(args: list[str], error: str, dagger: Dagger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("{ nonsense }"))

    outcome = dagger("query", *args)

    assert outcome.code == 1
    assert outcome.stderr.startswith(f"Error: {error}")


def test_version_needs_no_session(dagger: Dagger, engine: FakeEngine) -> None:
    outcome = dagger("version")

    first, second = outcome.stdout.splitlines()
    assert re.fullmatch(r"dagger v0\.21\.8 \(embedded engine\) linux/\w+", first)
    assert second == "It answers the API of Dagger v0.21.8, and takes the command lines of 0.21 and 1.0."
    assert engine.opened == []


@pytest.mark.parametrize("args", [["version", "-q"], ["version", "--quiet"], ["-q", "version"]])
def test_a_quiet_version_is_the_version_alone(args: list[str], dagger: Dagger) -> None:
    assert dagger(*args).stdout == "v0.21.8\n"


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["develop"], "dagger develop"),
        (["init", "--sdk", "python"], "dagger init"),
        (["shell"], "dagger shell"),
        (["in.txt"], "dagger shell"),
        (["-i", "call", "words"], "--interactive"),
        (["call", "words", "-w"], "--web"),
        (["--lock", "pinned", "call", "words"], "--lock pinned"),
        (["--x-release", "main", "version"], "--x-release"),
        (["call", "-m", "github.com/someone/module", "words"], "--mod github.com/someone/module: only a local path"),
    ],
)
def test_what_cannot_be_had_says_so(args: list[str], what: str, dagger: Dagger, tmp_path: Path) -> None:
    (tmp_path / "in.txt").touch()

    outcome = dagger(*args)

    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr == f"Error: not supported by the embedded engine: {what}\n"


@pytest.mark.parametrize(
    "args",
    [
        ["-E", "call", "words"],
        ["call", "-q", "words", "-vv", "-d"],
        ["--lock=disabled", "call", "words"],
        ["--progress=plain", "call", "--allow-llm", "all", "--eager-runtime", "words"],
        ["call", "words", "--progress", "dots", "-s"],
        ["call", "words", "--auto-apply"],
    ],
)
def test_harmless_options_are_taken_anywhere(args: list[str], dagger: Dagger) -> None:
    outcome = dagger(*args)

    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "one\ntwo\n", "")


def test_mod_names_the_module(dagger: Dagger, engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()

    for args in (["-m", "there", "words"], ["--mod=there", "words"], ["--greeting", "hi", "-m", "there", "words"]):
        assert dagger("call", *args).code == 0

    assert [str(opened["module"]) for opened in engine.opened] == ["there"] * 3


def test_workdir_is_where_the_session_works(dagger: Dagger, engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()

    dagger("--workdir", "there", "call", "words")

    assert engine.opened == [{"mode": "real", "workdir": tmp_path / "there", "module": None, "loads": True}]


@pytest.mark.parametrize(
    ("words", "loads"),
    [
        (["call", "greet", "--name", "x"], True),
        (["functions"], True),
        (["check", "--list"], True),
        (["call", "--no-mod", "version"], False),
        (["core", "version"], False),
        (["run", "true"], False),
        (["query", "--doc", "query.graphql"], False),
        (["query", "--doc", "query.graphql", "-m", "."], True),
    ],
)
def test_a_module_is_begun_where_a_command_is_about_one(
    words: list[str], loads: bool, dagger: Dagger, engine: FakeEngine, tmp_path: Path
) -> None:
    (tmp_path / "query.graphql").write_text("{ version }")

    assert dagger(*words).code == 0
    assert engine.opened[0]["loads"] is loads
    assert engine.sessions[0].loaded is loads


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["calls"], 'unknown command or file "calls" for "dagger"\n\nDid you mean this?\n\tcall\n'),
        (["--progress", "fancy", "call"], 'unknown progress type "fancy"'),
        (["call", "-m", "nowhere", "words"], 'module not found: no such folder "nowhere" for --mod'),
        (
            ["call", "-m", ".", "-M", "words"],
            "if any flags in the group [mod no-mod] are set none of the others can be",
        ),
        (["--nope", "call"], "unknown flag: --nope"),
        (["-s", "--lab", "call"], "unknown flag: --lab\n--lab goes first: ./daggerw --lab call ..."),
        (["functions", "--lab"], "unknown flag: --lab\n--lab goes first: ./daggerw --lab call ..."),
        (["check", "--nope"], "unknown flag: --nope\nRun 'dagger check --help' for usage."),
        (["--workdir", "nowhere", "call"], "[Errno 2] No such file or directory: 'nowhere'"),
    ],
)
def test_mistakes_are_told_without_a_traceback(args: list[str], error: str, dagger: Dagger) -> None:
    outcome = dagger(*args)

    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith(f"Error: {error}")


@pytest.mark.parametrize(("source", "main"), [(".", "ci/main.py"), ("mod", "mod/src/probe/main.py")])
def test_a_function_of_the_module_here_is_suggested(source: str, main: str, dagger: Dagger, tmp_path: Path) -> None:
    (tmp_path / "dagger.json").write_text(json.dumps({"name": "probe", "sdk": "python", "source": source}))
    (tmp_path / main).parent.mkdir(parents=True)
    (tmp_path / main).write_text("class Probe:\n    @function\n    async def platform_of(self) -> str: ...\n")

    assert dagger("platform-of", "--x").stderr == (
        'Error: unknown command or file "platform-of" for "dagger"\n\nDid you mean this?\n\tcall platform-of\n\n'
    )
    assert "mean" not in dagger("platform").stderr


@pytest.mark.parametrize("text", ["", "[]", '{"source": 1}'])
def test_a_broken_module_suggests_nothing(text: str, dagger: Dagger, tmp_path: Path) -> None:
    (tmp_path / "dagger.json").write_text(text)

    assert dagger("words").stderr == 'Error: unknown command or file "words" for "dagger"\n'


def test_trouble_of_set_up_is_told_without_a_traceback(dagger: Dagger, engine: FakeEngine) -> None:
    engine.trouble = SetupError("there is no room", hint="Make some.")

    outcome = dagger("call", "words")

    assert outcome.code == 1
    assert outcome.stderr == "Error: there is no room\n  Make some.\n"


def test_no_module_is_an_error(dagger: Dagger, engine: FakeEngine) -> None:
    engine.module = ""

    assert dagger("call", "words").stderr == "Error: no dagger.json here or above\n"


def test_closed_standard_output_ends_quietly() -> None:
    command = f"{sys.executable} -m embedded.cli --help | true; echo ${{PIPESTATUS[0]}}"
    env = {**os.environ, "PYTHONPATH": str(TOP)}

    done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert done.stdout in ("0\n", "141\n")


@pytest.mark.parametrize("slow", ["graphql", "rich", "grpc", "dagger", "aiohttp", "yaml"])
def test_start_imports_nothing_slow(slow: str) -> None:
    program = f"import sys; import embedded.cli.__main__; sys.exit({slow!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], cwd=TOP, check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "stdout"),
    [
        (["api", "call", "greet", "--name", "you"], "hello you"),
        (["api", "call", "--load-module", ".", "greet", "--name", "you"], "hello you"),
        (["-m", ".", "api", "call", "greet", "--name", "you"], "hello you"),
        (["--load-module=.", "call", "greet", "--name", "you"], "hello you"),
        (["api", "call", "-W", ".", "greet", "--name", "you"], "hello you"),
        (["-W", ".", "api", "call", "greet", "--name", "you"], "hello you"),
        (["--workspace", "below", "api", "call", "greet", "--name", "you"], "hello you"),
        (["api", "call", "--no-load-module", "version"], "v0.21.8"),
        (["-M", "api", "call", "version"], "v0.21.8"),
        (["api", "query", "--doc", "doc.graphql"], '{\n    "version": "v0.21.8"\n}\n'),
        (["api", "with-session", "echo", "-m", "x"], "-m x\n"),
        (["check", "--list", "--skip", "none-of-them*", "--skip", "healthy"], "Name   Description\n"),
        (["check", "--skip", "*"], ""),
    ],
)
def test_words_of_dagger_1_are_taken(words: list[str], stdout: str, dagger: Dagger, tmp_path: Path) -> None:
    (tmp_path / "dagger.json").touch()
    (tmp_path / "below").mkdir()
    (tmp_path / "doc.graphql").write_text("{ version }")

    outcome = dagger(*words)

    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout == stdout


def test_functions_are_listed_in_both_ways_of_speaking(dagger: Dagger) -> None:
    assert dagger("api", "functions").stdout == dagger("functions").stdout
    assert dagger("functions", "-M").stdout == dagger("api", "functions", "--no-load-module").stdout


@pytest.mark.usefixtures("more")
def test_check_leaves_out_what_is_skipped(dagger: Dagger) -> None:
    listed = dagger("check", "-l", "--skip", "suite:lint", "--skip", "broken").stdout.splitlines()[1:]

    assert [line.split()[0] for line in listed] == ["more:suite:unit"]


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize("skipped", ["sute", "suite,broken", "suite:lint,suite:unit"])
def test_what_is_skipped_is_one_pattern_and_need_not_be_there(skipped: str, dagger: Dagger) -> None:
    outcome = dagger("check", "-l", "--skip", skipped)
    assert (outcome.code, outcome.stdout) == (0, dagger("check", "-l").stdout)


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize("listed", [[], ["-l"]])
def test_a_check_that_is_asked_for_and_skipped_is_an_error(listed: list[str], dagger: Dagger) -> None:
    outcome = dagger("check", *listed, "broken", "suite", "--skip", "broken", "--skip", "more:suite")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr == "Error: of 'broken', 'suite' no check is left: --skip leaves all out\n"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["api", "cal"], "Did you mean: call?\nError: unknown command \"cal\" for \"dagger api\"\nRun 'dagger api --"),
        (["api", "listen"], "Error: not supported by the embedded engine: dagger api listen\n"),
        (["api", "call", "--lock", "pinned", "words"], "Error: unknown flag: --lock\nRun 'dagger api call --help' for"),
        (["--lock=live", "api", "call", "words"], "Error: unknown flag: --lock\nRun 'dagger api call --help' for"),
        (["api", "call", "greet"], "Error: required flag(s) \"name\" not set\nRun 'dagger api call greet --help'"),
        (["api", "functions", "--nope"], "Error: unknown flag: --nope\nRun 'dagger api functions --help' for usage."),
        (["api", "with-session"], "Error: requires at least 1 arg(s), only received 0\nRun 'dagger api with-s"),
        (["call", "-W", "nowhere", "words"], 'Error: no such folder "nowhere" for --workspace\n'),
        (["call", "-W", "/", "words"], "Error: no module found: there is no dagger.json in / or above\n"),
        (["call", "-W", "github.com/a/b", "words"], "Error: not supported by the embedded engine: --workspace git"),
    ],
)  # fmt: skip
def test_mistakes_in_words_of_dagger_1_are_named_in_them(words: list[str], error: str, dagger: Dagger) -> None:
    outcome = dagger(*words)

    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith(error)


@pytest.mark.parametrize("words", [["api"], ["api", "--help"], ["help", "api"]])
def test_api_alone_lists_its_words(words: list[str], dagger: Dagger) -> None:
    outcome = dagger(*words)

    assert outcome.code == 0
    assert "USAGE\n  dagger api [options]" in outcome.stdout
    assert all(f"\n  {word} " in outcome.stdout for word in ("call", "functions", "query", "with-session"))


@pytest.mark.parametrize("word", ["greet", "with-session"])
def test_help_spells_the_command_as_the_caller_does(word: str, dagger: Dagger) -> None:
    words = ["api", "with-session"] if word == "with-session" else ["api", "call", "greet"]

    assert f"USAGE\n  dagger {' '.join(words)}" in dagger(*words, "--help").stdout


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["call", "gret", "--name", "x"], "greet"),
        (["call", "chil"], "child"),
        (["call", "child", "--label", "c", "tim"], "times"),
        (["core", "contaner"], "container"),
    ],
)
def test_a_function_spelled_alike_is_suggested(words: list[str], near: str, dagger: Dagger) -> None:
    said = dagger(*words).stderr.splitlines()

    assert said[0].startswith("Did you mean: ")
    assert near in said[0]
    assert said[1].startswith("Error: unknown command ")


@pytest.mark.usefixtures("more")
def test_a_word_like_nothing_suggests_nothing(dagger: Dagger) -> None:
    assert "mean" not in dagger("call", "qqqqqq").stderr


def streams(command: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a shell; `$dagger` is it."""
    env = {**os.environ, "PYTHONPATH": str(TOP), "dagger": f"{sys.executable} -m embedded.cli"}
    return subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("word", ["version", "--help", "help run"])
def test_a_full_disk_behind_standard_output_is_an_error(word: str) -> None:
    done = streams(f"$dagger {word} >/dev/full")

    assert (done.returncode, done.stderr) == (1, "Error: can't write to standard output: No space left on device\n")


def test_a_closed_standard_output_is_an_error() -> None:
    done = streams("$dagger version >&-")

    assert (done.returncode, done.stderr) == (1, "Error: can't write to standard output: Bad file descriptor\n")


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_a_closed_standard_error_hinders_nothing(where: str) -> None:
    done = streams(f"$dagger version {where}")
    failed = streams(f"$dagger nonsense {where}")

    assert (done.returncode, done.stdout[:14]) == (0, "dagger v0.21.8")
    assert failed.returncode == 1
    assert "Traceback" not in done.stderr + failed.stderr


def test_all_streams_may_be_closed() -> None:
    assert streams("$dagger version <&- >&- 2>&-").returncode == 1


def test_what_the_output_cannot_encode_is_escaped() -> None:
    assert streams("PYTHONIOENCODING=ascii $dagger --help").returncode == 0
