"""BuildKit's life with a real daemon: shared, idle, killed, without what it needs."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from embedded.engine.errors import EngineError
from embedded.engine.life import lease
from embedded.engine.life.clients import count
from embedded.engine.life.leases import stop, supervisor_of
from embedded.setup import paths as setup_paths
from embedded.setup.paths import paths, tool
from embedded.tests.life.harness import Engine, processes, until

pytestmark = pytest.mark.engine


def packet_filter() -> str:
    tables = ("nat", "filter")
    commands = [[str(tool("iptables")), "-w", "10", "-t", table, "-S"] for table in tables]
    return "".join(subprocess.run(one, capture_output=True, text=True, check=True).stdout for one in commands)


def nothing_left(engine: Engine, mode: str = "real") -> bool:
    place = engine.place(mode)
    return not (
        supervisor_of(place)
        or processes(str(engine.paths.cache))
        or place.socket.exists()
        or place.state.exists()
        or Path(f"/sys/class/net/{place.bridge}").exists()
        or place.digest in packet_filter()
        or str(place.folder) in Path("/proc/self/mountinfo").read_text()
    )


def test_a_daemon_is_shared_and_survives_the_call_that_started_it(engine: Engine) -> None:
    with lease(engine.paths, "real") as first, lease(engine.paths, "real") as second:
        assert first == second
        daemon = engine.pid("daemon")
    begin = time.monotonic()
    with lease(engine.paths, "real"):
        assert time.monotonic() - begin < 0.3
        assert engine.pid("daemon") == daemon


def test_two_starts_at_once_give_one_daemon(engine: Engine) -> None:
    calls = [engine.holder() for _ in range(3)]
    for call in calls:
        assert call.stdout is not None
        assert call.stdout.readline().strip() == engine.place().address
    assert len(processes(f"buildkitd --config {engine.place().config}")) == 2  # unshare, and the daemon in it
    assert count(engine.place().clients) == 3


def test_an_idle_daemon_goes_and_leaves_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COZYSTACK_TALOS_IDLE_SECONDS", "1")
    with lease(engine.paths, "real"):
        time.sleep(2.5)
        assert supervisor_of(engine.place()), "it went although a call was using it"
    time.sleep(0.5)
    assert supervisor_of(engine.place()), "it went before its time"
    until(lambda: nothing_left(engine), 6)


def test_the_next_call_during_the_end_of_an_idle_daemon_gets_a_new_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COZYSTACK_TALOS_IDLE_SECONDS", "0.2")
    for _ in range(5):
        with lease(engine.paths, "real"):
            assert engine.output(engine.build("bash", "-c", "echo fine")).count("ERROR") == 0
        time.sleep(0.25)


def test_a_start_waits_for_a_daemon_that_the_disk_keeps(engine: Engine) -> None:
    lock = engine.place().root_lock
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as earlier:
        fcntl.flock(earlier, fcntl.LOCK_EX)
        threading.Timer(2, earlier.close).start()
        with lease(engine.paths, "real"):
            assert earlier.closed
            assert "ERROR" not in engine.output(engine.build("bash", "-c", "echo fine"))


def test_killing_buildkitd_ends_its_containers_and_keeps_the_cache(engine: Engine) -> None:
    with lease(engine.paths, "real"):
        assert "ERROR" not in engine.output(engine.build("bash", "-c", "echo kept"))
        first = engine.pid("daemon")
        solve = engine.build("sleep", "9876.25")
        until(lambda: processes("sleep 9876.25"))
        os.kill(first, signal.SIGKILL)
        until(lambda: not processes("sleep 9876.25"), 2)
        assert solve.wait(10) != 0
        until(lambda: nothing_left(engine), 5)
    with lease(engine.paths, "real"):
        assert engine.pid("daemon") != first
        assert "CACHED" in engine.output(engine.build("bash", "-c", "echo kept"))


def test_killing_the_supervisor_ends_all(engine: Engine) -> None:
    with lease(engine.paths, "lab"):
        solve = engine.build("sleep", "9876.5", mode="lab")
        until(lambda: processes("sleep 9876.5"))
        os.kill(engine.pid("supervisor", "lab"), signal.SIGKILL)
        until(lambda: not processes("sleep 9876.5"), 2)
        until(lambda: not processes(str(engine.place("lab").config)), 2)
        until(lambda: not processes(f"--disk {engine.paths.cache}"), 2)
        assert solve.wait(10) != 0
    with lease(engine.paths, "lab"):
        assert "ERROR" not in engine.output(engine.build("bash", "-c", "echo fine", mode="lab"))
        assert packet_filter().count(engine.place("lab").digest) == 3


def test_a_killed_client_leaves_nothing_running(engine: Engine) -> None:
    call = engine.holder()
    assert call.stdout is not None
    call.stdout.readline()
    solve = engine.build("sleep", "9876.75")
    until(lambda: processes("sleep 9876.75"))
    assert count(engine.place().clients) == 1
    solve.kill()
    call.kill()
    until(lambda: [pid for pid in processes("sleep 9876.75") if pid != solve.pid] == [], 2)
    assert count(engine.place().clients) == 0


def test_stop_takes_five_seconds_at_most_and_leaves_nothing(engine: Engine) -> None:
    with lease(engine.paths, "lab"):
        engine.build("sleep", "9876.125", mode="lab")
        until(lambda: processes("sleep 9876.125"))
        begin = time.monotonic()
        assert stop(engine.place("lab"))
        assert time.monotonic() - begin <= 5
        engine.started[-1].wait(10)
        assert nothing_left(engine, "lab")
        assert not processes("sleep 9876.125")
    assert not stop(engine.place("lab"))


def test_a_daemon_of_another_configuration_is_replaced_when_nobody_uses_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with lease(engine.paths, "real"):
        before = engine.pid("daemon")
    own = tmp_path / "buildkitd.toml"
    own.write_text('[worker.oci]\nmaxUsedSpace = "3GB"\n')
    monkeypatch.setenv("COZYSTACK_TALOS_BUILDKITD_TOML", str(own))
    with lease(engine.paths, "real"):
        assert engine.pid("daemon") != before
        assert 'maxUsedSpace = "3GB"' in engine.place().config.read_text()


def test_a_daemon_in_use_is_not_replaced(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "buildkitd.toml"
    own.write_text('[worker.oci]\nmaxUsedSpace = "3GB"\n')
    with lease(engine.paths, "real"):
        before = engine.pid("daemon")
        monkeypatch.setenv("COZYSTACK_TALOS_BUILDKITD_TOML", str(own))
        with lease(engine.paths, "real"):
            assert engine.pid("daemon") == before


def test_a_missing_runc_is_named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as bare:
        bare.setattr(setup_paths, "machine_program", lambda _: None)
        bare.setattr(setup_paths, "unpacked_program", lambda _, name: Path("/no/such") / name)
        with pytest.raises(EngineError, match="can't start: runc is missing") as caught, lease(engine.paths, "real"):
            pass
    assert "./daggerw again" in caught.value.hint
    assert nothing_left(engine)


@pytest.mark.parametrize(
    ("missing", "message", "hint"),
    [
        ("sys_admin", "BuildKit did not start: this process lacks rights that BuildKit needs", "--privileged"),
        ("net_admin", "the containers' network can't be set up", "NET_ADMIN"),
    ],
)
def test_missing_rights_are_named(engine: Engine, missing: str, message: str, hint: str) -> None:
    said, _ = engine.holder(under=("setpriv", "--bounding-set", f"-{missing}", "--")).communicate(timeout=60)
    assert message in said
    assert hint in said
    assert nothing_left(engine)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("room", [0, 4096, 1 << 20])
def test_a_full_disk_is_named_with_the_way_out(
    small_disk: Path, rootfs: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.delenv("BUILDKIT_HOST", raising=False)
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(b"x" * (free - room))
    engine = Engine(replace(paths(), cache=small_disk / "cache"), rootfs)
    with pytest.raises(EngineError) as caught, lease(engine.paths, "real"):
        pass
    assert f"the disk that holds {engine.place().folder} is full" in caught.value.message
    assert "./daggerw --engine prune" in caught.value.hint


def test_a_disk_that_fills_up_in_a_solve_is_told_and_does_not_end_the_daemon(
    small_disk: Path, rootfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(replace(paths(), cache=small_disk / "cache"), rootfs)
    monkeypatch.delenv("BUILDKIT_HOST", raising=False)
    monkeypatch.setenv("COZYSTACK_TALOS_BUILDKITD_TOML", "/dev/null")
    try:
        with lease(engine.paths, "real"):
            assert "No space left on device" in engine.output(engine.build("bash", "-c", "cat /dev/zero > /large"))
            # what the failed step wrote is removed later: after a minute where not even the failure could be recorded
            until(lambda: shutil.disk_usage(small_disk).free > 32 << 20, 90)
            assert "ERROR" not in engine.output(engine.build("bash", "-c", "echo fine"))
    finally:
        stop(engine.place())


class Listener:
    """Says hello to whoever connects to it."""

    def __init__(self, address: str) -> None:
        self._socket = socket.create_server((address, 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            connection.sendall(b"hello from the host\n")
            connection.close()


def test_containers_reach_the_network_and_not_the_hosts_loopback(engine: Engine) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing: it only asks for the route's own address
        except OSError:
            pytest.skip("this machine has no network but loopback")
        own = probe.getsockname()[0]
    outside, loopback = Listener(own), Listener("127.0.0.1")
    script = (
        f"cat < /dev/tcp/{own}/{outside.port}; "
        f"(cat < /dev/tcp/127.0.0.1/{loopback.port}) 2>/dev/null && echo REACHED || echo refused as it should be"
    )
    with lease(engine.paths, "real"):
        said = engine.output(engine.build("bash", "-c", script))
    printed = re.findall(r"^#\d+ [\d.]+ (.*)$", said, re.MULTILINE)
    assert printed == ["hello from the host", "refused as it should be"]


def test_what_the_lab_does_not_have_is_not_found(engine: Engine) -> None:
    with lease(engine.paths, "lab") as held:
        assert held.registry
        begin = time.monotonic()
        said = engine.output(engine.pull("ghcr.io/no/such:image"))
        assert "ghcr.io/no/such:image: not found" in said
        assert time.monotonic() - begin < 5
        for reference in ("docker.io/library/no-such:1", "quay.io/no/such:1"):
            assert f"{reference}: not found" in engine.output(engine.pull(reference))


def test_the_lab_has_its_own_registry(engine: Engine) -> None:
    with lease(engine.paths, "lab") as held, lease(engine.paths, "real") as other:
        assert other.registry is None
        assert other.address != held.address
        assert held.registry
        host, _, port = held.registry.partition(":")
        assert host == "127.0.0.1"
        with socket.create_connection((host, int(port)), 5):
            pass


def test_the_daemon_does_not_get_the_callers_secrets(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "hunter2-of-the-caller")
    with lease(engine.paths, "real"):
        for name in ("daemon", "supervisor"):
            assert b"hunter2" not in Path(f"/proc/{engine.pid(name)}/environ").read_bytes()
        # By os.walk, which passes over folders that BuildKit removes meanwhile.
        found = (Path(folder, name) for folder, _, names in os.walk(engine.place().folder) for name in names)
        assert not [path for path in found if path.suffix == ".json" and b"hunter2" in path.read_bytes()]
