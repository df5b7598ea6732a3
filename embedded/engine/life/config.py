"""buildkitd's configuration: what this engine needs, and what a user adds to it."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from embedded.engine.errors import EngineError
from embedded.engine.life.place import Place

MIRRORED = ("docker.io", "ghcr.io", "quay.io", "registry.k8s.io", "gcr.io", "public.ecr.aws", "mcr.microsoft.com")
"""Registries that the lab stands in for. What it does not have of them is not found: see `unreachable_hosts`."""

CACHE_SIZE = 8 * 1000**3
CACHE_SHARE = 10
"""How large a mode's cache may be: so many bytes, and at most so many percent of the disk that it is on."""
CACHE_SIZE_VARIABLE = "COZYSTACK_TALOS_CACHE_SIZE"

HISTORY_LIMITS = {"maxAge": "24h", "maxEntries": 20}
"""BuildKit's records of past builds: nobody reads them here, but they hold on to what was built."""

SUPERSEDED = (r'description~="^mount / from exec .*[ ]kind: (installer|image)"',)
"""What goes when a daemon ends, as filters for `prune`: runs of the imager whose result another step has made ready.

Nobody asks for it again unless that step changes, and it is as large as what is kept.
"""

NETWORKS_AHEAD = 4
"""Containers' networks made before they are needed: making one takes longer than a small command runs."""

ENGINES_OWN = (("root",), ("grpc",), ("worker", "oci", "binary"), ("worker", "oci", "cniConfigPath"))
"""Keys that a user's file may not set: this engine would no longer find its daemon."""


def user_file() -> Path:
    """Return where the user's own part is: COZYSTACK_TALOS_BUILDKITD_TOML, else a file below the configuration home."""
    if named := os.environ.get("COZYSTACK_TALOS_BUILDKITD_TOML"):
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(home) if home.startswith("/") else Path(os.environ.get("HOME") or "/root") / ".config"
    return base / "cozystack-talos" / "buildkitd.toml"


def user_part() -> dict[str, Any]:
    """Read the user's own part of the configuration: mirrors, plain-http registries, certificates, limits.

    Raises EngineError when the file named by COZYSTACK_TALOS_BUILDKITD_TOML is missing, is not TOML, or sets what is
    the engine's.
    """
    path = user_file()
    try:
        part = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        if "COZYSTACK_TALOS_BUILDKITD_TOML" in os.environ:
            raise EngineError(f"COZYSTACK_TALOS_BUILDKITD_TOML names {path}, which does not exist") from error
        return {}
    except (OSError, ValueError) as error:
        raise EngineError(f"{path} can't be read as TOML: {error}") from error
    for keys in ENGINES_OWN:
        inner: Any = part
        for key in keys:
            inner = cast("dict[str, Any]", inner).get(key) if isinstance(inner, dict) else None
        if inner is not None:
            raise EngineError(
                f"{path} sets {'.'.join(keys)}, which is the embedded engine's own to set",
                hint="Leave it out, or start a buildkitd of your own and name it in BUILDKIT_HOST.",
            )
    return part


def daemon_config(place: Place, runc: Path, plugins: Path, registry: str | None) -> dict[str, Any]:
    """Put buildkitd's configuration together.

    Args:
        place: where the daemon lives.
        runc: the program that runs containers.
        plugins: folder of the network plugins.
        registry: `127.0.0.1:PORT` of the lab's registry; None in the real mode.
    """
    config: dict[str, Any] = {
        "root": str(place.root),
        "insecure-entitlements": ["security.insecure"],
        "grpc": {"address": [place.address]},
        "history": dict(HISTORY_LIMITS),
        "worker": {
            "containerd": {"enabled": False},
            "oci": {
                "enabled": True,
                "binary": str(runc),
                "networkMode": "cni",
                "cniConfigPath": str(place.plugins),
                "cniBinaryPath": str(plugins),
                "cniPoolSize": NETWORKS_AHEAD,
                "gc": True,
                **cache_limits(place.cache),
            },
        },
    }
    own = user_part()
    if registry is None:
        return merged(config, own)
    mirrors = {name: {"mirrors": [f"{registry}/{name}"]} for name in MIRRORED}
    config = merged(config, {key: value for key, value in own.items() if key != "registry"})
    return config | {"registry": {**mirrors, registry: {"http": True}}}


def cache_limits(folder: Path) -> dict[str, str]:
    """Return what garbage collection aims at, in each mode.

    The cache has at most 8 GB and at most a tenth of the disk; COZYSTACK_TALOS_CACHE_SIZE (`20GB`) overrides that. A
    tenth of the disk stays free, but half of the limit is kept in any case. In addition, BuildKit removes uploads, git
    checkouts and cache mounts that were not used for two days when they have more than 512 MB, and all that was not
    used for 60 days.
    """
    if given := os.environ.get(CACHE_SIZE_VARIABLE):
        found = re.fullmatch(r"(\d+) ?(M|G|T)B", given)
        if not found:
            raise EngineError(
                f"{CACHE_SIZE_VARIABLE} is {given!r}", hint="Give a number of MB, GB or TB, such as 20GB."
            )
        limit = int(found[1]) * 1000 ** {"M": 2, "G": 3, "T": 4}[found[2]]
    else:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        limit = min(CACHE_SIZE, shutil.disk_usage(there).total * CACHE_SHARE // 100)
    # BuildKit reads bare numbers as bytes, and those with a unit as powers of 1024.
    return {"reservedSpace": str(limit // 2), "maxUsedSpace": str(limit), "minFreeSpace": "10%"}


def unreachable_hosts() -> list[str]:
    """Name the hosts that the lab's daemon must not reach.

    BuildKit asks a registry itself when its mirror does not have an image. In the lab that would mix real images with
    stand-ins, so these names lead nowhere there, and the error is the mirror's: not found.
    """
    return ["registry-1.docker.io", "index.docker.io", "auth.docker.io", *MIRRORED]


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table over another, table by table; other values are replaced."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            result[key] = merged(cast("dict[str, Any]", below), cast("dict[str, Any]", value))
        else:
            result[key] = value
    return result


def toml(table: Mapping[str, Any], path: Sequence[str] = ()) -> str:
    """Write a table of strings, numbers, booleans, lists and tables as TOML."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    if path and (lines or not table):
        lines.insert(0, f"[{'.'.join(_key(key) for key in path)}]")
    text = "".join(f"{line}\n" for line in lines)
    for key, value in table.items():
        if isinstance(value, dict):
            text += toml(cast("dict[str, Any]", value), (*path, key))
    return text


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return _quoted(value)
        case dict():
            pairs = cast("dict[str, Any]", value).items()
            return "{" + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in pairs) + "}"
        case list():
            return "[" + ", ".join(_value(inner) for inner in cast("list[Any]", value)) + "]"
        case _:
            raise EngineError(f"{user_file()}: {value!r} has no place in buildkitd's configuration")


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _quoted(text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char >= " " and char != "\x7f" else f"\\u{ord(char):04x}" for char in escaped) + '"'
