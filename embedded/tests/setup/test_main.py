"""What a person meets when set-up can't go on."""

from __future__ import annotations

import re
import runpy
import signal
import socket
import sys
from pathlib import Path

import pytest

from embedded.setup import __main__ as setup
from embedded.setup.errors import SetupError
from embedded.setup.paths import UV_VERSION, paths, tool
from embedded.setup.process import hint_for
from embedded.tests.setup.support import TOP, Start, eventually

NETWORK = {
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "PIP_RETRIES": "0",
    "PIP_FIND_LINKS": "",
    "PIP_NO_CACHE_DIR": "1",
}


def test_no_network_is_told_with_the_way_out(start: Start, cache: Path) -> None:
    process = start("-m", "embedded.setup", **NETWORK)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (1, "")
    lines = stderr.splitlines()
    assert "daggerw: set-up: uv …" in lines
    # What does not depend on each other begins at the same time: any of them may be the first to fail.
    assert re.search(rf"uv=={re.escape(UV_VERSION)}|apt-get|go failed|E: |lookup|proxyconnect", stderr)
    assert "check the network and the proxy variables" in lines[-1]
    assert Path(lines[-2].removeprefix("  log: ")).read_text().startswith("$ ")
    assert "Traceback" not in stderr
    assert sorted(path.name for path in (cache / "setup").iterdir()) == ["locks", "logs"]


def test_ctrl_c_during_a_download_ends_quietly(start: Start, cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        process = start("-m", "embedded.setup", PIP_INDEX_URL=index, PIP_FIND_LINKS="", NO_PROXY="127.0.0.1")
        silent.accept()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=15)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "daggerw: set-up interrupted; the next call goes on where it stopped"
    assert stderr.count("interrupted") == 1
    assert "Traceback" not in stderr
    eventually(lambda: not _mentioned_by_a_process(index))
    assert not list((cache / "setup").glob("*uv*"))


def _mentioned_by_a_process(word: str) -> bool:
    def environ(folder: Path) -> bytes:
        try:
            return (folder / "environ").read_bytes()
        except OSError:
            return b""

    return any(word.encode() in environ(folder) for folder in Path("/proc").glob("[0-9]*"))


def test_an_old_python_is_told_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    monkeypatch.setattr(sys, "version", "3.10.4 (main)")
    with pytest.raises(SystemExit, match=r"needs Python 3.11 or newer, not 3.10.4: name one in DAGGERW_PYTHON"):
        runpy.run_path(str(TOP / "embedded/setup/__main__.py"))


@pytest.mark.parametrize(
    ("platform", "machine", "user", "message"),
    [
        ("darwin", "arm64", 0, "runs on Linux, this is darwin"),
        ("linux", "x86_64", 1000, "runs as root"),
        ("linux", "riscv64", 0, "runs on x86_64 and aarch64, this is riscv64"),
    ],
)
def test_a_machine_that_does_not_fit_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    platform: str,
    machine: str,
    user: int,
    message: str,
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr(sys, "argv", ["setup"])
    assert setup.main() == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("OSError: [Errno 28] No space left on device: '/x'", "the disk is full"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "ca-certificates"),
        ("dial tcp: lookup example.org: no such host", "check the network"),
        ("Temporary failure in name resolution", "check the network"),
        ("error: dns error", "check the network"),
        ("proxyconnect tcp: dial tcp 127.0.0.1:1: connect: permission denied", "check the network"),
        ("SSLCertVerificationError: certificate verify failed: unable to get local issuer", "ca-certificates"),
        ("github.com/google/certificate-transparency-go\nexample.org/proxy\n./main.go:3:1: syntax error", ""),
    ],
)
def test_the_way_out_follows_from_what_a_program_said(said: str, hint: str) -> None:
    assert hint in hint_for(said)
    assert bool(hint_for(said)) == bool(hint)


def test_an_unknown_program_is_told_with_those_that_are_known() -> None:
    with pytest.raises(SetupError, match=r"unknown program 'rnuc': set-up provides bridge, buildctl, buildkitd.*runc"):
        tool("rnuc")


def test_a_program_that_is_not_set_up_is_told_with_the_way_out() -> None:
    with pytest.raises(SetupError) as caught:
        tool("buildkitd")
    assert str(paths().bin / "buildkitd") in caught.value.message
    assert "run ./daggerw again" in caught.value.hint


def test_status_of_a_machine_without_set_up_says_so(start: Start, cache: Path) -> None:
    stdout, _ = start("-m", "embedded", "status").communicate(timeout=15)
    assert stdout == f"nothing is set up below {cache}: the first ./daggerw call does it\n"


@pytest.mark.parametrize(
    ("words", "images"),
    [
        (["--lab"], False),
        (["--lab", "--for-builds"], True),
        (["--for-builds"], False),
        (["--lab", "--", "-m", "embedded.cli", "--lab", "call", "build"], True),
        (["--lab", "--", "-m", "embedded.cli", "--lab", "call", "plan"], False),
        (["--", "-m", "embedded.cli", "call", "build"], False),
    ],
)
def test_the_labs_images_are_made_where_something_is_built_of_them(
    words: list[str], images: bool, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    asked: list[object] = []

    def stages(*_: object, **given: object) -> list[object]:
        asked.append(given["images"])
        return []

    monkeypatch.setattr("embedded.setup.stages.stages", stages)
    monkeypatch.setattr(setup, "become_engine_python", lambda _: None)
    monkeypatch.setattr(setup, "_check_machine", lambda: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["setup", *words])
    assert setup.main() == 0
    assert asked == [images]
