"""daggerw's decisions, with made-up programs on a PATH that holds nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
NEEDED = ("cat", "rm", "sha256sum", "readlink", "sed", "head", "id", "uname", "sleep", "sh")
DAGGER_1 = "printf 'version:     v{version}\\ncommit:      0123456\\nplatform:    linux/amd64\\n'"
DAGGER = "echo 'dagger v{version} (image://registry.example/engine:v{version}) linux/amd64'"
ANSWERS, FAILS = "exit 0", "exit 1"
EMBEDDED_CALL = "python -m embedded.setup --stamp STAMP -- -m embedded.cli call build"


@dataclass
class Machine:
    """A folder with a checkout's skeleton, and one that is all of PATH."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def stamps(self) -> Path:
        return self.folder / "cache/cozystack-talos/setup/stamps"

    def program(self, name: str, body: str) -> Path:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    def dagger(self, version: str, said: str = DAGGER) -> None:
        said = said.format(version=version)
        self.program("dagger", f'if [ "$1" = version ]; then {said}; else echo "dagger $*"; fi')

    def run(
        self, *arguments: str, cwd: Path | None = None, command: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        env = {"PATH": str(self.bin), "HOME": str(self.folder / "home"), "XDG_CACHE_HOME": str(self.folder / "cache")}
        return subprocess.run(
            [command or self.folder / "top/daggerw", *arguments],
            env=env | self.env,
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.bin.mkdir()
    for name in NEEDED:
        found = shutil.which(name, path="/usr/bin:/bin")
        assert found, f"this machine has no {name}"
        (made.bin / name).symlink_to(found)
    top = tmp_path / "top"
    for name in ("pyproject.toml", "setup/paths.py", "tools/go.mod", "tools/go.sum", "tools/exec/main.go"):
        (top / "embedded" / name).parent.mkdir(parents=True, exist_ok=True)
        (top / "embedded" / name).write_text(name)
    shutil.copy(TOP / "daggerw", top / "daggerw")
    stamp = str(made.stamps)
    made.program(
        "python3",
        f'[ "$1" != -c ] || exit 0; echo "python $*" | sed "s|{stamp}/[^ ]*|STAMP|"; echo "path $PYTHONPATH" >&2',
    )
    made.program("id", "echo 0")
    return made


@pytest.mark.parametrize(
    ("engine", "version", "runtimes", "variables", "output", "reason"),
    [
        (None, None, {}, {}, EMBEDDED_CALL, "embedded engine (no dagger on PATH)"),
        (
            None,
            "0.21.8",
            {"docker": ANSWERS},
            {},
            "dagger call build",
            "Dagger engine (dagger 0.21.8, engine by docker)",
        ),
        ("auto", "0.21.8", {"docker": FAILS, "podman": ANSWERS}, {}, "dagger call build", "engine by podman)"),
        ("auto", "0.21.10", {"nerdctl": ANSWERS}, {}, "dagger call build", "engine by nerdctl)"),
        ("auto", "0.22.0", {"docker": ANSWERS}, {}, "dagger call build", "warning: dagger 0.22.0"),
        ("auto", "1.0.0", {"docker": ANSWERS}, {}, "dagger call build", "warning: dagger 1.0.0"),
        ("auto", "0.21.7", {"docker": ANSWERS}, {}, EMBEDDED_CALL, "(dagger 0.21.7 is older than 0.21.8)"),
        ("auto", "0.9.30", {"docker": ANSWERS}, {}, EMBEDDED_CALL, "(dagger 0.9.30 is older than 0.21.8)"),
        ("auto", "0.21.8", {"docker": FAILS}, {}, EMBEDDED_CALL, "no container runtime that answers"),
        ("auto", "0.21.8", {}, {}, EMBEDDED_CALL, "no container runtime that answers"),
        (
            *("auto", "0.21.8", {}, {"_EXPERIMENTAL_DAGGER_RUNNER_HOST": "tcp://engine"}),
            *("dagger call build", "engine at _EXPERIMENTAL_DAGGER_RUNNER_HOST)"),
        ),
        ("dagger", "0.21.8", {"docker": ANSWERS}, {}, "dagger call build", "engine by docker)"),
        ("embedded", "0.21.8", {"docker": ANSWERS}, {}, EMBEDDED_CALL, "embedded engine (DAGGERW_ENGINE=embedded)"),
    ],
)
def test_the_engine_follows_from_what_is_there(
    machine: Machine,
    engine: str | None,
    version: str | None,
    runtimes: dict[str, str],
    variables: dict[str, str],
    output: str,
    reason: str,
) -> None:
    if version:
        machine.dagger(version)
    for name, body in runtimes.items():
        machine.program(name, f'[ "$1" = info ] || exit 9\n{body}')
    machine.env = variables | ({"DAGGERW_ENGINE": engine} if engine else {})
    done = machine.run("call", "build")
    assert (done.stdout.strip(), done.returncode) == (output, 0)
    assert reason in done.stderr


TRIED = "warning: dagger {}; this project was tried with 0.21.8 and 1.0.0-beta.10"


@pytest.mark.parametrize(
    ("said", "version", "warned"),
    [
        (DAGGER, "0.21.8", ""),
        (DAGGER_1, "1.0.0-beta.10", ""),
        (DAGGER_1, "1.0.0-beta.11", TRIED),
        (DAGGER_1, "1.0.0-beta.1", TRIED),
        (DAGGER_1, "1.0.0", TRIED),
        (DAGGER_1, "1.12.3", TRIED),
        (DAGGER_1, "0.21.9", ""),
        (DAGGER, "1.0.0-beta.10", ""),
    ],
)
@pytest.mark.parametrize("engine", ["auto", "dagger"])
def test_both_forms_of_daggers_version_are_read(
    machine: Machine, engine: str, said: str, version: str, warned: str
) -> None:
    machine.dagger(version, said)
    machine.program("docker", ANSWERS)
    machine.env = {"DAGGERW_ENGINE": engine}
    done = machine.run("call", "build")
    assert (done.stdout.strip(), done.returncode) == ("dagger call build", 0)
    assert [line for line in done.stderr.splitlines() if "warning" in line] == (
        [f"daggerw: {warned.format(version)}"] if warned else []
    )
    assert f"(dagger {version}, engine by docker)" in done.stderr


GIT = 'test "$1 $3 $4 $5" = "-C ls-files --error-unmatch dagger.lock" && exit {code}; exit 9'


@pytest.mark.parametrize("engine", ["auto", "dagger"])
@pytest.mark.parametrize(
    ("code", "kept", "message"),
    [
        (0, True, "daggerw: dagger.lock is in git: tags name what it says\n"),
        (1, False, "daggerw: dagger.lock is not in git: removed, so that tags are looked up anew\n"),
        (None, False, "daggerw: dagger.lock is not in git: removed, so that tags are looked up anew\n"),
    ],
)
def test_a_lock_that_nobody_decided_on_does_not_hold_tags(
    machine: Machine, engine: str, code: int | None, kept: bool, message: str
) -> None:
    machine.dagger("1.0.0", DAGGER_1)
    machine.program("docker", ANSWERS)
    if code is not None:
        machine.program("git", GIT.format(code=code))
    machine.env["DAGGERW_ENGINE"] = engine
    lock, elsewhere = machine.folder / "top/dagger.lock", machine.folder / "dagger.lock"
    for path in (lock, elsewhere):
        path.write_text("")
    done = machine.run("call", "plan")
    assert (done.stdout, message in done.stderr) == ("dagger call plan\n", True)
    assert (lock.exists(), elsewhere.exists()) == (kept, True)


def test_without_a_lock_nothing_is_said_of_one(machine: Machine) -> None:
    machine.dagger("1.0.0", DAGGER_1)
    machine.program("docker", ANSWERS)
    assert "lock" not in machine.run("call", "plan").stderr


@pytest.mark.parametrize(
    ("version", "repository", "locks", "named"),
    [
        ("1.0.0-beta.10", "mine", ("mine",), "mine"),
        ("1.0.0", "mine", ("mine", "mine/deep"), "mine/deep"),
        ("1.0.0", "mine/deep/below", ("mine", "mine/deep"), None),
        ("1.0.0", ".", (".",), "."),  # the checkout is a folder of that repository
        ("1.0.0", None, ("mine",), None),
        ("1.0.0", "mine", (), None),
        ("0.21.8", "mine", ("mine",), None),
    ],
)
def test_a_lock_of_the_callers_own_repository_is_named_and_kept(
    machine: Machine, version: str, repository: str | None, locks: tuple[str, ...], named: str | None
) -> None:
    machine.dagger(version, DAGGER_1)
    machine.program("docker", ANSWERS)
    cwd = machine.folder / "mine/deep/below"
    cwd.mkdir(parents=True)
    if repository:
        (machine.folder / repository / ".git").mkdir()
    files = [machine.folder / lock / "dagger.lock" for lock in locks]
    for file in files:
        file.write_text("")
    done = machine.run("call", "-m", "../../../top", "plan", cwd=cwd)
    assert (done.returncode, all(file.exists() for file in files)) == (0, True)
    said = [line for line in done.stderr.splitlines() if "lock" in line]
    assert [line.partition(" says: ")[0] for line in said] == (
        [f"daggerw: tags name what {machine.folder / named / 'dagger.lock'}"] if named else []
    )


def test_a_dagger_without_a_version_is_named(machine: Machine) -> None:
    machine.program("dagger", "echo 'no such command'")
    machine.env = {"DAGGERW_ENGINE": "dagger"}
    done = machine.run("call")
    assert done.returncode == 2
    assert (
        done.stderr
        == f"daggerw: DAGGERW_ENGINE=dagger: `{machine.bin}/dagger version` reports no version within 5 seconds\n"
    )


@pytest.mark.parametrize("variables", [{}, {"DAGGERW_ENGINE": "dagger"}, {"DAGGERW_LAB": "1"}])
@pytest.mark.parametrize("words", [("status",), ("prune", "--all"), ("lab", "list"), ("--help",), ()])
def test_the_engines_upkeep_is_a_word_of_the_wrapper_from_any_folder(
    machine: Machine, tmp_path: Path, words: tuple[str, ...], variables: dict[str, str]
) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    machine.program("id", "echo 1000")
    machine.env = variables
    done = machine.run("--engine", *words, cwd=elsewhere)
    assert done.stdout.strip() == " ".join(["python -m embedded", *words])
    assert done.stderr == f"path {tmp_path / 'top'}\n"


@pytest.mark.parametrize(
    ("variables", "arguments", "version", "message"),
    [
        (
            {"DAGGERW_ENGINE": "docker"},
            (),
            "0.21.8",
            "DAGGERW_ENGINE is 'docker': allowed are auto, dagger and embedded",
        ),
        ({"DAGGERW_LAB": "yes"}, (), None, "DAGGERW_LAB is 'yes': allowed are 1 and 0"),
        ({"DAGGERW_ENGINE": "dagger"}, (), None, "DAGGERW_ENGINE=dagger: no dagger on PATH"),
        ({"DAGGERW_ENGINE": "dagger"}, (), "0.21.7", "DAGGERW_ENGINE=dagger: dagger 0.21.7 is older than 0.21.8"),
        ({"DAGGERW_ENGINE": "dagger"}, (), "0.21.8", "no container runtime that answers"),
        ({"DAGGERW_ENGINE": "dagger"}, ("--lab",), "0.21.8", "see docs/lab.md"),
        ({"DAGGERW_ENGINE": "dagger", "DAGGERW_LAB": "1"}, (), "0.21.8", "see docs/lab.md"),
        ({"HOME": "", "XDG_CACHE_HOME": ""}, (), None, "neither HOME nor XDG_CACHE_HOME is set"),
        ({"DAGGERW_PYTHON": "missing-python"}, (), None, "Python 3.11 or newer, which missing-python is not"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_way_out(
    machine: Machine, variables: dict[str, str], arguments: tuple[str, ...], version: str | None, message: str
) -> None:
    if version:
        machine.dagger(version)
    machine.env = variables
    done = machine.run(*arguments, "call")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("program", "body", "message"),
    [
        ("id", "echo 1000", "runs as root"),
        ("uname", "echo Darwin", "runs on Linux, this is Darwin"),
        ("python3", "exit 1", "needs Python 3.11 or newer, which python3 is not"),
    ],
)
def test_a_machine_that_does_not_fit_is_refused(machine: Machine, program: str, body: str, message: str) -> None:
    machine.program(program, body)
    done = machine.run("call")
    assert done.returncode == 2
    assert message in done.stderr


def test_an_older_python3_gives_way_to_a_newer_one_beside_it(machine: Machine) -> None:
    machine.program("python3", "exit 1")
    machine.program("python3.12", '[ "$1" = -c ] || echo "twelve $1 $2"')
    assert machine.run("call").stdout.strip() == "twelve -m embedded.setup"


@pytest.mark.parametrize(("arguments", "variables"), [(("--lab",), {}), ((), {"DAGGERW_LAB": "1"})])
def test_lab_is_handed_on_to_set_up_and_command_line(
    machine: Machine, arguments: tuple[str, ...], variables: dict[str, str]
) -> None:
    machine.env = variables
    done = machine.run(*arguments, "call", "--lab")
    assert done.stdout.strip() == "python -m embedded.setup --lab --stamp STAMP -- -m embedded.cli --lab call --lab"


def test_a_link_and_another_folder_lead_to_the_checkout(machine: Machine, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    link = elsewhere / "dw"
    link.symlink_to("../top/daggerw")
    done = machine.run("call", cwd=elsewhere, command=link)
    assert done.stderr.splitlines()[-1] == f"path {tmp_path / 'top'}"


def test_arguments_arrive_as_they_were_given(machine: Machine) -> None:
    machine.program("python3", '[ "$1" = -c ] && exit 0; printf "<%s>" "$@"')
    done = machine.run("call", "a b", "", "*", "$HOME", "--", "-x\ny")
    assert done.stdout.partition("<--><-m><embedded.cli>")[2] == "<call><a b><><*><$HOME><--><-x\ny>"


def test_the_users_own_python_settings_are_kept_aside(machine: Machine) -> None:
    machine.env = {"PYTHONPATH": "/mine", "PYTHONDONTWRITEBYTECODE": "2"}
    names = ("PYTHONPATH", "DAGGERW_PYTHONPATH", "PYTHONSAFEPATH")
    names += ("PYTHONDONTWRITEBYTECODE", "DAGGERW_PYTHONDONTWRITEBYTECODE")
    shown = " ".join(f"${{{name}-unset}}" for name in names)
    machine.program("python3", f'[ "$1" = -c ] && exit 0; echo "{shown}"')
    assert machine.run("call").stdout.split() == [str(machine.folder / "top"), "/mine", "1", "unset", "2"]


def _finish_set_up(machine: Machine) -> Path:
    """Leave the stamp as set-up does; returns a program that it counts on."""
    venv = machine.program("venv-python", 'echo "venv $*"')
    counted = machine.program("counted", "")
    writes = f'[ "$1" = -c ] && exit 0; sh -c \'mkdir -p "${{0%/*}}"; printf "%s\\n" {venv} {counted} >"$0"\' "$4"'
    (machine.bin / "mkdir").symlink_to(shutil.which("mkdir") or "/bin/mkdir")
    machine.program("python3", writes)
    machine.run("call")
    machine.program("python3", '[ "$1" = -c ] || echo "set-up again"')
    return counted


def test_a_finished_set_up_is_not_asked_again(machine: Machine) -> None:
    _finish_set_up(machine)
    done = machine.run("call", "x y")
    assert done.stdout == "venv -m embedded.cli call x y\n"


@pytest.mark.parametrize("name", ["pyproject.toml", "setup/paths.py", "tools/go.sum", "tools/exec/main.go"])
def test_a_changed_input_asks_set_up_again(machine: Machine, name: str) -> None:
    _finish_set_up(machine)
    (machine.folder / "top/embedded" / name).write_text("changed")
    assert machine.run("call").stdout == "set-up again\n"


def test_a_program_that_went_away_asks_set_up_again(machine: Machine) -> None:
    _finish_set_up(machine).unlink()
    assert machine.run("call").stdout == "set-up again\n"


def test_a_cache_that_was_copied_elsewhere_does_not_run_the_old_ones_python(machine: Machine) -> None:
    _finish_set_up(machine)
    shutil.copytree(machine.folder / "cache", machine.folder / "restored")
    machine.env = {"XDG_CACHE_HOME": str(machine.folder / "restored")}
    assert machine.run("call").stdout == "set-up again\n"


def test_a_set_up_without_the_lab_does_not_do_for_the_lab(machine: Machine) -> None:
    _finish_set_up(machine)
    assert machine.run("--lab", "call").stdout == "set-up again\n"


def test_a_relative_cache_folder_is_not_used(machine: Machine) -> None:
    machine.program("python3", '[ "$1" = -c ] || echo "$4"')
    machine.env = {"XDG_CACHE_HOME": "cache"}
    assert machine.run("call").stdout.startswith(f"{machine.folder}/home/.cache/cozystack-talos/")


def test_a_container_runtime_that_hangs_is_given_up(machine: Machine) -> None:
    machine.dagger("0.21.8")
    machine.program("docker", f'echo $$ >"{machine.folder}/pid"; exec sleep 60')
    begin = time.monotonic()
    done = machine.run("call", "build")
    assert 4 < time.monotonic() - begin < 15
    assert done.stdout.strip() == EMBEDDED_CALL
    with pytest.raises(ProcessLookupError):
        os.kill(int((machine.folder / "pid").read_text()), 0)


@pytest.mark.parametrize("said", ["", "echo 'dagger 0.22.0 is there, read my news'", DAGGER_1.format(version="1.0.0")])
@pytest.mark.parametrize("hang", ["exec sleep 60", "sleep 60"])
def test_a_dagger_that_hangs_is_given_up(machine: Machine, said: str, hang: str) -> None:
    machine.program("docker", ANSWERS)
    pid = machine.folder / "pid"
    body = 'echo $$ >PID; if [ "$1" != version ]; then echo "dagger $*"; exit; fi'.replace("PID", str(pid))
    machine.program("dagger", f"{body}\n{said}\n{hang}")
    begin = time.monotonic()
    done = machine.run("call", "build")
    assert 4 < time.monotonic() - begin < 15
    assert done.stdout.strip() == ("dagger call build" if said else EMBEDDED_CALL)
    assert said or "version` reports no version within 5 seconds)" in done.stderr
    if not said:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


def test_the_exit_code_is_that_of_the_engine(machine: Machine) -> None:
    machine.dagger("0.21.8")
    machine.program("docker", ANSWERS)
    path = machine.bin / "dagger"
    path.write_text(path.read_text().replace('else echo "dagger $*"', "else exit 37"))
    assert machine.run("call").returncode == 37
