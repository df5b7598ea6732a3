"""What a supervisor is to run: worked out by the call that starts it, from this checkout and its environment."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from embedded.engine.errors import EngineError
from embedded.engine.life.config import daemon_config, toml, unreachable_hosts
from embedded.engine.life.network import filter_rules, free_range, plugin_config
from embedded.engine.life.place import Place
from embedded.setup.errors import SetupError
from embedded.setup.paths import Paths, tool

IDLE_SECONDS = 600.0
REGISTRY_PORT = 5731

PASSED_ON = (
    "HOME", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "http_proxy", "https_proxy", "no_proxy", "all_proxy", "GIT_SSL_CAINFO",
)  # fmt: skip
"""All of the caller's environment that a daemon gets: it outlives the call, and the rest may hold secrets."""

INSIDE = """
mkdir -p /var/lib/cni && mount --bind "$1" /var/lib/cni || exit 1
if [ -n "$2" ]; then mount --bind "$2" /etc/hosts || exit 1; fi
shift 2
exec "$@"
"""
"""Run in the daemon's own mount namespace: nothing outside changes. $1: what the network plugins remember, $2: the
hosts file of the lab, or nothing."""


@dataclass(frozen=True)
class Order:
    """A supervisor's order; `key` tells whether a running daemon is what this caller would start."""

    key: str
    config: str
    plugins: str
    rules: list[list[str]]
    iptables: str
    hosts: str
    daemon: list[str]
    registry: list[str]
    registry_address: str
    environment: dict[str, str]
    idle_seconds: float

    def dump(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))


def idle_seconds() -> float:
    """How long a daemon without clients stays; COZYSTACK_TALOS_IDLE_SECONDS overrides the ten minutes."""
    value = os.environ.get("COZYSTACK_TALOS_IDLE_SECONDS", "")
    try:
        return float(value) if value else IDLE_SECONDS
    except ValueError as error:
        raise EngineError(f"COZYSTACK_TALOS_IDLE_SECONDS is {value!r}: give a number of seconds") from error


def order(place: Place, paths: Paths, registry: str | None) -> Order:
    """Work out the order; `registry` is the address for the lab's registry, None in the real mode.

    Raises EngineError when a program is missing or the user's part of the configuration is bad.
    """
    try:
        buildkitd, runc, iptables, plugins = tool("buildkitd"), tool("runc"), tool("iptables"), tool("bridge").parent
        registry_program = tool("registry") if registry else None
    except SetupError as error:
        raise EngineError(f"BuildKit can't start: {error.message}", hint=error.hint) from error
    environment = _environment(place, paths)
    hosts = place.folder / "hosts"
    # setpriv: whatever ends the supervisor ends these too. unshare: BuildKit is process 1 of a namespace of its own,
    # so that the kernel ends its containers with it, and its mounts are nobody else's.
    bound = ["setpriv", "--pdeathsig", "KILL", "--"]
    isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    prepared = ["sh", "-c", INSIDE, "sh", str(place.network), str(hosts) if registry else ""]
    lasting = daemon_config(place, runc, plugins, None if registry is None else "127.0.0.1:0")
    trusted = {name: value for name, value in environment.items() if name not in {"PATH", "HOME", "LANG"}}
    key = json.dumps([str(buildkitd), lasting, plugin_config(place, ""), trusted])
    addresses = free_range(place.digest, place.bridge)
    return Order(
        key=hashlib.sha256(key.encode()).hexdigest(),
        config=toml(daemon_config(place, runc, plugins, registry)),
        plugins=plugin_config(place, addresses),
        rules=filter_rules(place, addresses),
        iptables=str(iptables),
        hosts=_hosts() if registry else "",
        daemon=[*bound, *isolated, *prepared, str(buildkitd), "--config", str(place.config)],
        registry=_registry(place, registry_program, registry, bound) if registry_program and registry else [],
        registry_address=registry or "",
        environment=environment,
        idle_seconds=idle_seconds(),
    )


def _environment(place: Place, paths: Paths) -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    path = [*os.environ.get("PATH", os.defpath).split(":"), "/usr/sbin", "/sbin", str(paths.packages / "bin")]
    environment = {
        **passed,
        "PATH": ":".join(dict.fromkeys(path)),
        "TMPDIR": str(place.folder / "tmp"),
        # Step logs are shown to people and carry errors: none of them is cut.
        "BUILDKIT_STEP_LOG_MAX_SIZE": "-1",
        "BUILDKIT_STEP_LOG_MAX_SPEED": "-1",
    }
    if place.mode == "lab":  # a proxy would look up the names that lead nowhere here
        for name in ("NO_PROXY", "no_proxy"):
            named = [passed[name]] if name in passed else []
            environment[name] = ",".join([*named, "127.0.0.1", "localhost", *unreachable_hosts()])
    return environment


def _hosts() -> str:
    text = ""
    with contextlib.suppress(OSError):
        text = Path("/etc/hosts").read_text().rstrip("\n") + "\n"
    # Connecting to this address fails at once.
    return text + "".join(f"255.255.255.255 {name}\n" for name in unreachable_hosts())


def _registry(place: Place, program: Path, address: str, bound: list[str]) -> list[str]:
    blobs = place.cache / "lab" / "registry"
    return [*bound, str(program), "--disk", str(blobs), "--address", address]


def free_port() -> int:
    """Return the lab registry's usual port, or another one when that is taken."""
    for port in (REGISTRY_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise EngineError("no port of 127.0.0.1 is free for the lab's registry")
