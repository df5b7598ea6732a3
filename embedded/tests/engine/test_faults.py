"""What bad things get, through the whole stack: `daggerw`, a session, BuildKit, containers of the lab."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded.engine.life.leases import stop
from embedded.engine.life.place import Place
from embedded.tests.engine.calls import IMAGE, WARM_SECONDS, Calls
from embedded.tests.life.harness import alive, children, processes, until

pytestmark = [pytest.mark.engine, pytest.mark.slow]

MODULE = Path(__file__).parent / "faults"


# --- ended from outside -------------------------------------------------------------------------------------------


def interrupt(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()


@pytest.mark.parametrize(("end", "code"), [(interrupt, 130), (kill, -signal.SIGKILL)])
@pytest.mark.parametrize("through", ["core", "module"])
def test_a_client_that_ends_takes_everything_with_it(
    calls: Calls, end: Callable[[subprocess.Popen[str]], None], code: int, through: str
) -> None:
    seconds = f"9{time.time_ns() % 10**6:06}.5"
    ways = {
        "core": ["core", "container", "from", "--address", IMAGE, "with-exec", f"--args=sleep,{seconds}", "stdout"],
        "module": ["call", "-m", str(MODULE), "wait", "--seconds", seconds],
    }
    process = calls.start("--lab", *ways[through])
    until(lambda: processes(f" sleep {seconds}"), WARM_SECONDS)
    own, forked = children(process.pid) - calls.servers(), calls.forked()
    assert [pid for pid in own if "session-helper" in _command(pid)]
    assert bool(forked) == (through == "module")
    own |= forked
    begin = time.monotonic()
    end(process)
    assert process.wait(2) == code
    until(lambda: not alive(own), 2 - (time.monotonic() - begin))
    until(lambda: not processes(f"sleep {seconds}"), 2 - (time.monotonic() - begin))
    said = process.communicate()[1]
    assert "Traceback" not in said
    if end is interrupt:
        assert said.rstrip().splitlines()[-1] == "Canceled."
    else:
        calls.run("--lab", "core", "version")  # the next call clears up
    assert not list((calls.cache / "sessions").iterdir())


@pytest.mark.parametrize(("end", "code"), [(interrupt, 130), (kill, -signal.SIGKILL)])
def test_a_client_that_ends_takes_the_labs_build_with_it(
    calls: Calls, end: Callable[[subprocess.Popen[str]], None], code: int, tmp_path: Path
) -> None:
    cache = tmp_path / "cozystack-talos"
    place = Place(cache, "lab")
    cache.mkdir()
    (cache / "setup").symlink_to(calls.cache / "setup")
    process = calls.start(
        "--lab", "core", "container", "from", "--address", IMAGE, "platform", XDG_CACHE_HOME=str(tmp_path)
    )
    try:
        until(lambda: processes(f"{cache}/lab/tmp"), WARM_SECONDS)
        engine = {int(json.loads(place.state.read_text())["supervisor"])}
        own = children(process.pid) - engine - children(*engine)
        begin = time.monotonic()
        end(process)
        assert process.wait(2) == code
        until(lambda: not alive(own), 2 - (time.monotonic() - begin))
        until(lambda: not processes(f"{cache}/lab/tmp"), 2 - (time.monotonic() - begin))
        assert "Traceback" not in process.communicate()[1]
    finally:
        stop(place)


def test_a_killed_buildkitd_is_one_clear_error_and_its_cache_stays(calls: Calls) -> None:
    kept = ["--lab", "core", "container", "from", "--address", IMAGE]
    kept += ["with-exec", "--args=sh,-c,cat /proc/sys/kernel/random/uuid", "stdout"]
    code, before, err = calls.run(*kept)
    assert code == 0, err
    seconds = f"8{time.time_ns() % 10**6:06}.5"
    process = calls.start("--lab", "-s", "call", "-m", str(MODULE), "wait", "--seconds", seconds)
    until(lambda: processes(f" sleep {seconds}"), WARM_SECONDS)
    os.kill(calls.pid("daemon"), signal.SIGKILL)
    until(lambda: not processes(f" sleep {seconds}"), 2)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (1, "")
    assert len(re.findall("^Error: ", err, re.MULTILINE)) == 1, err
    assert "Error: the BuildKit engine went away in the middle of the work" in err
    assert "Call again" in err
    assert "Traceback" not in err
    assert calls.run(*kept)[:2] == (0, before)


# --- images that can't be had -------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:1", "registry.invalid"])
def test_an_unreachable_registry_is_named_with_its_cause_and_the_lab(calls: Calls, host: str) -> None:
    said = calls.refused("core", "container", "from", "--address", f"{host}/some/image:1", "platform")
    assert said.startswith(f"Error: the registry {host} can't be reached: ")
    assert re.search(r"connection refused|no such host|server misbehaving|Forbidden|Bad Gateway", said)
    assert said.endswith("put --lab before daggerw's arguments: it works with stand-ins.")


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (f"docker.io/library/debian@sha256:{'0' * 64}", f"docker.io/library/debian@sha256:{'0' * 64}: not found"),
        ("docker.io/library/debian@sha256:1234", "the digest 'sha256:1234' is not sha256: and 64 hexadecimal digits"),
        ("ghcr.io/siderolabs/no-such-thing:v1", "the lab has no 'ghcr.io/siderolabs/no-such-thing:v1'"),
        ("example.com/some/image:1", "with --lab nothing is pulled from example.com"),
        ("docker.io/library/Debian:1", "invalid image reference 'docker.io/library/Debian:1'"),
        ("docker.io/library/debian:a b", "invalid image reference 'docker.io/library/debian:a b'"),
    ],
)
def test_an_image_that_is_not_there_is_named(calls: Calls, reference: str, words: str) -> None:
    said = calls.refused("--lab", "core", "container", "from", "--address", reference, "platform")
    assert words in said
    assert "can't be reached" not in said
    assert "--lab before" not in said


# --- functions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ["leave", "--code", "3"],
            "Error: the function's process ended with exit code 3 and gave no answer:\nlast words on stdout",
        ),
        (["die"], "Error: the function's process was killed (SIGKILL) and gave no answer:\nabout to be killed"),
        (["service"], "Error: not supported by the embedded engine: Container.asService"),
        (["llm"], "Error: not supported by the embedded engine: Query.llm"),
    ],
)
def test_a_function_that_ends_badly_says_why(calls: Calls, words: list[str], error: str) -> None:
    assert calls.refused("--lab", "-s", "call", "-m", str(MODULE), *words) == error


# --- the server ---------------------------------------------------------------------------------------------------

ASK = """
import os, sys, urllib.error, urllib.request
from base64 import b64encode
port, token = os.environ["DAGGER_SESSION_PORT"], os.environ["DAGGER_SESSION_TOKEN"]
def ask(headers):
    body = b'{"query": "{version}"}'
    request = urllib.request.Request(f"http://127.0.0.1:{port}/query", body, headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return f"{answer.status} {answer.read().decode()}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode().strip()}"
def basic(given):
    return {"Authorization": "Basic " + b64encode(f"{given}:".encode()).decode()}
for given in basic(token), {}, basic("x" + token), basic(""), {"Authorization": f"Bearer {token}"}:
    print(ask(given))
for table in ("tcp", "tcp6"):
    for line in open(f"/proc/net/{table}").readlines()[1:]:
        local, _, state = line.split()[1:4]
        if state == "0A" and local.endswith(f":{int(port):04X}"):
            print("listens on", local.split(":")[0])
"""


def test_the_server_answers_who_has_the_token_and_on_loopback_only(calls: Calls) -> None:
    code, out, err = calls.run("--lab", "-s", "run", sys.executable, "-c", ASK)
    assert code == 0, err
    refusal = "401 the session's token is missing or wrong"
    assert out.splitlines() == ['200 {"data":{"version":"v0.21.8"}}', *[refusal] * 4, "listens on 0100007F"]


# --- secrets ------------------------------------------------------------------------------------------------------

CANARIES = [b"canary-in-env-5f1c", b"canary-in-file-77d0", b"canary-made-of-parts"]


def test_secrets_are_nowhere_but_in_the_exec(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CANARIES[1])
    began = time.time()
    seconds = f"3.{time.time_ns() % 10**6:06}"
    image = tmp_path / "image.tar"
    words = ["--in-env", "env://THE_CANARY", "--in-file", f"file://{tmp_path / 'secret'}", "--seconds", seconds]
    process = calls.start(
        *["--lab", "--progress", "plain", "-v", "call", "-m", str(MODULE), "secrets", *words],
        *["as-tarball", "--forced-compression", "Uncompressed", "export", "--path", str(image)],
        THE_CANARY=CANARIES[0].decode(),
    )
    until(lambda: processes(f" sleep {seconds}"), WARM_SECONDS)
    # who calls with a secret in the environment has it there, and so have the programs that work in its name
    callers = {process.pid} | {pid for pid in children(process.pid) if "session-helper" in _command(pid)}
    shown = {
        f"{_command(pid)} {kind}"
        for pid in map(int, (path.name for path in Path("/proc").glob("[0-9]*")))
        for kind in ("cmdline", "environ")
        for canary in CANARIES
        if canary in _read(Path(f"/proc/{pid}/{kind}"))
        and not (kind == "environ" and f"sleep {seconds}" in _command(pid))  # the exec: helper, shell and sleep
        and not (kind == "environ" and pid in callers and canary == CANARIES[0])
    }
    assert shown == set()
    out, err = process.communicate(timeout=WARM_SECONDS)
    assert process.returncode == 0, err
    assert "*** ***" in err, "the exec's output is not in the log, so this test proves nothing"
    assert not [canary for canary in CANARIES if canary in (out + err).encode()]
    assert members_with_canaries(image) == []
    assert files_with_canaries(calls.cache, began) == []


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def _command(pid: int) -> str:
    return _read(Path(f"/proc/{pid}/cmdline")).replace(b"\0", b" ").decode(errors="replace")


def members_with_canaries(image: Path) -> list[str]:
    """Look into an image archive, and into its layers as they are."""
    with tarfile.open(image) as archive:
        contents = {one.name: stream.read() for one in archive if (stream := archive.extractfile(one))}
    assert len(contents) >= 5
    return [name for name, data in contents.items() if any(canary in data for canary in CANARIES)]


def files_with_canaries(cache: Path, since: float) -> list[str]:
    """Look into every file that was written since: below the cache, BuildKit's databases and blobs among them."""
    looked, found = 0, list[str]()
    for top in (cache, cache / "modules"):
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    if not path.is_file() or path.lstat().st_ctime < since - 1:
                        continue
                    looked += 1
                    data = path.read_bytes()
                    if data[:2] == b"\x1f\x8b":
                        with contextlib.suppress(OSError, EOFError):
                            data = gzip.decompress(data)
                    if any(canary in data for canary in CANARIES):
                        found.append(str(path.relative_to(top)))
    assert looked > 10
    return found


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    for number in range(11):
        (tmp_path / f"harmless-{number}").write_bytes(b"x")
    (tmp_path / "blob").write_bytes(b"before " + CANARIES[0])
    (tmp_path / "blob.gz").write_bytes(gzip.compress(CANARIES[2]))
    assert sorted(files_with_canaries(tmp_path, time.time())) == ["blob", "blob.gz"]


def test_a_secrets_value_is_in_no_cache_key(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("one")
    words = ["--in-env", "env://THE_CANARY", "--in-file", f"file://{tmp_path / 'secret'}", "--seconds", "0.1"]
    call = ["--lab", "--progress", "plain", "call", "-m", str(MODULE), "secrets", *words, "stdout"]
    code, _, err = calls.run(*call, THE_CANARY="first")
    assert code == 0, err
    (tmp_path / "secret").write_text("two")
    code, out, err = calls.run(*call, THE_CANARY="second")
    assert (code, out) == (0, "*** ***\n***"), err
    assert "exec sh" not in err, "it ran again because of another value"
