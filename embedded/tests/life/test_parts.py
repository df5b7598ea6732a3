"""The parts of BuildKit's life that need no daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from embedded.engine.errors import EngineError
from embedded.engine.life import ca_bundle, clients, lease, leases
from embedded.engine.life.config import daemon_config, merged, toml, user_part
from embedded.engine.life.diagnosis import failed_start
from embedded.engine.life.leases import stop
from embedded.engine.life.network import add_rules, filter_rules, free_range
from embedded.engine.life.orders import idle_seconds
from embedded.engine.life.place import Place
from embedded.engine.life.supervisor import LastUse
from embedded.setup.paths import paths

HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def route(interface: str, destination: str, mask: str) -> str:
    return f"{interface}\t{destination}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, "real")


@pytest.fixture
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "own.toml"
    monkeypatch.setenv("COZYSTACK_TALOS_BUILDKITD_TOML", str(path))
    path.write_text("")
    return path


HOLDS = """
import fcntl, os, sys, time
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
lock.write(str(os.getpid()))
lock.flush()
print("holds", flush=True)
time.sleep(2)
"""


def test_stop_waits_for_a_killed_process_that_waits_for_the_disk(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.supervising.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLDS, place.supervising]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        sent: list[int] = []
        # As to a process that is in the kernel, waiting for the disk: it ends when that has answered.
        monkeypatch.setattr(signal, "pidfd_send_signal", lambda _process, number: sent.append(number))
        monkeypatch.setattr(leases, "STOP_SECONDS", 0.1)
        assert stop(place)
    assert sent == [signal.SIGTERM, signal.SIGKILL]


def test_toml_says_the_same_when_read_back() -> None:
    table = {
        "root": 'a "quoted" \\ path\n',
        "flag": True,
        "number": 20,
        "list": ["a", "b"],
        "empty": {},
        "registry": {"docker.io": {"mirrors": ["127.0.0.1:1/docker.io"], "keypair": [{"key": "k", "cert": "c"}]}},
    }
    assert tomllib.loads(toml(table)) == table


def test_a_table_is_laid_over_another() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged(base, {"a": {"c": 4}, "e": 5}) == {"a": {"b": 1, "c": 4}, "d": 3, "e": 5}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("disk", "limit"), [(500 * 1000**3, 8 * 1000**3), (80 * 1000**3, 8 * 1000**3), (30 * 1000**3, 3 * 1000**3)]
)
def test_the_cache_has_at_most_8_gb_and_a_tenth_of_the_disk(
    place: Place, own_config: Path, monkeypatch: pytest.MonkeyPatch, disk: int, limit: int
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=disk))
    worker = daemon_config(place, Path("/runc"), Path("/cni"), None)["worker"]["oci"]
    assert worker["maxUsedSpace"] == str(limit)
    assert worker["reservedSpace"] == str(limit // 2)
    assert worker["minFreeSpace"] == "10%"


@pytest.mark.parametrize(
    ("given", "limit"), [("20GB", "20000000000"), ("500 MB", "500000000"), ("1TB", "1000000000000")]
)
def test_the_caches_limit_can_be_set(
    place: Place, own_config: Path, monkeypatch: pytest.MonkeyPatch, given: str, limit: str
) -> None:
    monkeypatch.setenv("COZYSTACK_TALOS_CACHE_SIZE", given)
    assert daemon_config(place, Path("/runc"), Path("/cni"), None)["worker"]["oci"]["maxUsedSpace"] == limit


@pytest.mark.parametrize("given", ["20", "20GiB", "much", "-1GB", "GB"])
def test_a_limit_that_is_no_size_is_refused(
    place: Place, own_config: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("COZYSTACK_TALOS_CACHE_SIZE", given)
    with pytest.raises(EngineError, match=f"COZYSTACK_TALOS_CACHE_SIZE is '{given}'") as raised:
        daemon_config(place, Path("/runc"), Path("/cni"), None)
    assert "such as 20GB" in raised.value.hint


def test_the_users_part_counts(place: Place, own_config: Path) -> None:
    own_config.write_text('[registry."my.registry:5000"]\nhttp = true\n[worker.oci]\nmaxUsedSpace = "50GB"\n')
    config = daemon_config(place, Path("/runc"), Path("/cni"), None)
    assert config["registry"] == {"my.registry:5000": {"http": True}}
    assert config["worker"]["oci"]["maxUsedSpace"] == "50GB"
    assert config["worker"]["oci"]["binary"] == "/runc"


def test_the_lab_knows_its_own_registry_alone(place: Place, own_config: Path) -> None:
    own_config.write_text('[registry."ghcr.io"]\nmirrors = ["mirror.example"]\n')
    config = daemon_config(place, Path("/runc"), Path("/cni"), "127.0.0.1:5731")
    assert config["registry"]["ghcr.io"] == {"mirrors": ["127.0.0.1:5731/ghcr.io"]}
    assert config["registry"]["docker.io"] == {"mirrors": ["127.0.0.1:5731/docker.io"]}
    assert config["registry"]["127.0.0.1:5731"] == {"http": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('root = "/x"', "sets root, which is the embedded engine's own to set"),
        ('[grpc]\naddress = ["tcp://0.0.0.0:1"]', "sets grpc, which"),
        ('[worker.oci]\nbinary = "crun"', "sets worker.oci.binary, which"),
        ("no toml", "can't be read as TOML"),
    ],
)
def test_a_users_part_that_cant_be_is_refused(own_config: Path, text: str, message: str) -> None:
    own_config.write_text(text)
    with pytest.raises(EngineError, match=message) as caught:
        user_part()
    assert str(own_config) in str(caught.value)


def test_a_named_part_that_is_missing_is_an_error(own_config: Path) -> None:
    own_config.unlink()
    with pytest.raises(EngineError, match="which does not exist"):
        user_part()


def test_no_part_below_the_configuration_home_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COZYSTACK_TALOS_BUILDKITD_TOML", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_part() == {}
    (tmp_path / "cozystack-talos").mkdir()
    (tmp_path / "cozystack-talos/buildkitd.toml").write_text("debug = true")
    assert user_part() == {"debug": True}


def test_a_range_that_a_route_touches_is_not_taken() -> None:
    free = free_range("00000000", "cozy-0", HEADER + route("eth0", "00000000", "00000000"))
    assert free == "10.209.0.0/22"
    taken = HEADER + route("br0", "0002D10A", "00FFFFFF")
    assert free_range("00000000", "cozy-0", taken) == "10.209.4.0/22"
    assert free_range("00000000", "br0", taken) == "10.209.0.0/22"


def test_what_iptables_refuses_is_told_with_the_way_out(tmp_path: Path, place: Place) -> None:
    refusing = tmp_path / "iptables"
    refusing.write_text("#!/bin/sh\necho 'iptables: No chain/target/match by that name.' >&2\nexit 1\n")
    refusing.chmod(0o755)
    with pytest.raises(EngineError, match="network can't be set up: iptables: No chain") as caught:
        add_rules(str(refusing), filter_rules(place, "10.209.0.0/22"))
    assert "netfilter" in caught.value.hint


def test_different_places_have_different_bridges_of_valid_names(tmp_path: Path) -> None:
    bridges = {Place(tmp_path / cache, mode).bridge for cache in ("a", "b") for mode in ("real", "lab")}
    assert len(bridges) == 4
    assert all(len(bridge) <= 15 for bridge in bridges)


def test_a_long_cache_folder_still_has_a_socket_that_can_be() -> None:
    assert Place(Path("/cache"), "lab").socket == Path("/cache/engine/lab/buildkitd.sock")
    assert len(str(Place(Path("/" + "long" * 40), "lab").socket)) < 100


@pytest.mark.parametrize(
    ("log", "message", "hint"),
    [
        ("buildkitd: write /x: no space left on device", "the disk that holds {folder} is full", "prune"),
        (
            'buildkitd: failed to find runc binary: exec: "/x/runc": stat /x/runc: no such file or directory',
            "runc",
            "set-up",
        ),
        ("unshare: unshare failed: Operation not permitted", "lacks rights", "BUILDKIT_HOST"),
        ('buildkitd: failed to read cni binary dir "/x": no such file', "network plugins are missing", "set-up"),
        ("level=info msg=fine\nbuildkitd: something new\n", "BuildKit did not start: something new", "{log}"),
        ('level=error msg="a \\"quoted\\" one"\n', 'a "quoted" one', "{log}"),
        ("", "it ended without a word", "{log}"),
    ],
)
def test_the_cause_of_a_failed_start_is_named(place: Place, log: str, message: str, hint: str) -> None:
    error = failed_start(place, log)
    assert message.format(folder=place.folder) in error.message
    assert hint.format(log=place.log) in error.hint


def test_clients_are_counted_and_leave_with_their_process(tmp_path: Path) -> None:
    path = tmp_path / "clients.lock"
    assert clients.count(path) == 0
    first, second = clients.hold(path), clients.hold(path)
    assert clients.count(path) == 2
    watcher = os.open(path, os.O_RDWR)
    assert not clients.nobody(watcher)
    clients.release(first)
    os.close(second)
    assert clients.count(path) == 0
    assert clients.nobody(watcher)
    os.close(watcher)


def test_leaving_sets_the_time(tmp_path: Path) -> None:
    path = tmp_path / "clients.lock"
    held = clients.hold(path)
    os.utime(path, (1, 1))
    clients.release(held)
    assert path.stat().st_mtime > 1_000_000_000


def test_the_idle_time_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COZYSTACK_TALOS_IDLE_SECONDS", raising=False)
    assert idle_seconds() == 600
    monkeypatch.setenv("COZYSTACK_TALOS_IDLE_SECONDS", "2.5")
    assert idle_seconds() == 2.5
    monkeypatch.setenv("COZYSTACK_TALOS_IDLE_SECONDS", "soon")
    with pytest.raises(EngineError, match="'soon': give a number of seconds"):
        idle_seconds()


def test_the_bundle_is_what_the_host_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    bundle = tmp_path / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True)
    bundle.write_text("")
    assert ca_bundle(tmp_path) is None
    own = tmp_path / "usr/local/share/ca-certificates/company/ca.crt"
    own.parent.mkdir(parents=True)
    own.write_text("")
    assert ca_bundle(tmp_path) == bundle
    named = tmp_path / "named.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(named))
    assert ca_bundle(tmp_path) == bundle
    named.write_text("")
    assert ca_bundle(tmp_path) == named


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("unix:///no/such.sock", "no BuildKit answers at unix:///no/such.sock, which BUILDKIT_HOST names"),
        ("tcp://127.0.0.1:1", "no BuildKit answers at tcp://127.0.0.1:1"),
        ("docker-container://x", "BUILDKIT_HOST is 'docker-container://x'"),
        ("tcp://host", "BUILDKIT_HOST is 'tcp://host'"),
    ],
)
def test_a_buildkit_of_the_users_own_must_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, message: str
) -> None:
    monkeypatch.setenv("BUILDKIT_HOST", host)
    with pytest.raises(EngineError, match=message), lease(replace(paths(), cache=tmp_path), "real"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_buildkit_of_the_users_own_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("BUILDKIT_HOST", host)
        with lease(replace(paths(), cache=tmp_path), "real") as held:
            assert (held.address, held.registry) == (host, None)
    assert list(tmp_path.iterdir()) == []


def test_without_root_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUILDKIT_HOST", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EngineError, match="needs root"), lease(replace(paths(), cache=tmp_path), "real"):
        pass


@pytest.mark.parametrize("shift", [0.0, -86_400.0, -1e9, 3600.0])
def test_a_clock_that_is_set_does_not_move_the_idle_end(shift: float) -> None:
    last = LastUse(stamp=1000.0, now=50.0)
    assert last.ago(1000.0, 1100.0 + shift, 150.0) == 100
    # A call came and went between two looks; the clock was set before, or is set now.
    used = last.ago(1105.0 + shift, 1110.0 + shift, 160.0)
    assert used == 5
    assert last.ago(1105.0 + shift, 0.0, 165.0) == 10
    assert last.ago(1105.0 + shift, 1e10, 170.0) == 15
    assert last.ago(7.0, 1e10, 180.0) == 0


def test_a_call_that_lasts_keeps_the_whole_idle_time() -> None:
    last = LastUse(stamp=1000.0, now=0.0)
    assert last.ago(1500.0, 1500.5, 500.5) == 0.5


@pytest.mark.parametrize(
    "log",
    [
        "buildkitd: failed to load config: toml: line 3: expected value but found",
        'time="x" level=error msg="failed to parse config: unknown field gckeepstorages"',
        "buildkitd: strict mode: fields in the document are missing in the target struct",
    ],
)
def test_settings_that_buildkit_does_not_take_are_named_by_the_users_file(
    place: Place, own_config: Path, log: str
) -> None:
    error = failed_start(place, log)
    assert error.message.startswith(f"BuildKit does not take the settings in {own_config}: ")
    assert str(place.config) in error.hint
    own_config.unlink()
    assert str(own_config) not in str(failed_start(place, log))


def test_any_other_failure_names_the_users_file_as_a_suspect(place: Place, own_config: Path) -> None:
    error = failed_start(place, "buildkitd: \x1b[2Jno such luck")
    assert error.message == "BuildKit did not start: \\x1b[2Jno such luck"
    assert f"your own settings from {own_config}" in error.hint
