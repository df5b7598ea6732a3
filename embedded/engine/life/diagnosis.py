"""Why a daemon did not start, from its log, in words that help."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from embedded.engine.errors import EngineError
from embedded.engine.life.config import user_file
from embedded.engine.life.place import Place
from embedded.shown import shown

FULL_DISK_HINT = (
    "Free some space, empty the cache with `./daggerw --engine prune`, or set XDG_CACHE_HOME to another disk's folder."
)


@dataclass(frozen=True)
class StartFailure:
    """A cause that a log shows."""

    pattern: str
    message: Callable[[Place], str]
    hint: str


CAUSES = (
    StartFailure(
        "no space left on device", lambda place: f"the disk that holds {place.folder} is full", FULL_DISK_HINT
    ),
    StartFailure(
        "read-only file system",
        lambda place: f"{place.folder} is on a read-only file system",
        "Set XDG_CACHE_HOME to a folder that can be written to.",
    ),
    StartFailure(
        r"failed to find .*runc|runc.*(executable file not found|no such file)",
        lambda _: "runc, which runs the containers, is missing",
        "Run ./daggerw again: it repeats the set-up. Elsewhere than on Debian and Ubuntu install the package runc.",
    ),
    StartFailure(
        "cni binary dir|cni plugin|failed to find plugin",
        lambda _: "the containers' network plugins are missing",
        "Run ./daggerw again: it repeats the set-up. Elsewhere than on Debian and Ubuntu install the CNI plugins.",
    ),
    StartFailure(
        "unshare failed|unshare: .*not permitted|operation not permitted|permission denied",
        lambda _: "this process lacks rights that BuildKit needs (mounts, namespaces)",
        "Run it as root; in a container, one started with --privileged. Or name another BuildKit in BUILDKIT_HOST.",
    ),
)


CONFIGURATION = re.compile(
    r"failed to (load|parse|read).*(config|toml)|\btoml\b|\bstrict mode\b|unknown (field|key)", re.IGNORECASE
)
"""What BuildKit writes about a configuration that it can't use: a user's part of it, for the engine's own is tried."""


def failed_start(place: Place, log: str) -> EngineError:
    """Turn the log of a daemon that ended while it started into the error for the caller."""
    own = user_file()
    if own.exists() and CONFIGURATION.search(last_error(log)):
        return EngineError(
            f"BuildKit does not take the settings in {own}: {shown(last_error(log))}",
            hint=f"Correct that file, or move it away. What BuildKit was given is {place.config}.",
        )
    for cause in CAUSES:
        if re.search(cause.pattern, log, re.IGNORECASE):
            return EngineError(f"BuildKit did not start: {cause.message(place)}", hint=cause.hint)
    hint = f"Its log is {place.log}."
    if own.exists():
        hint += f" Its configuration holds your own settings from {own}: try without that file."
    return EngineError(f"BuildKit did not start: {shown(last_error(log))}", hint=hint)


def last_error(log: str) -> str:
    """Return the log's last error: buildkitd ends with `buildkitd: …`, before that come lines of key=value pairs."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for line in reversed(lines):
        if found := re.match(r"buildkitd: (.*)", line):
            return found[1]
        if "level=error" in line or "level=fatal" in line:
            message = re.search(r'msg="((?:[^"\\]|\\.)*)"', line)
            return message[1].replace('\\"', '"') if message else line
    return lines[-1] if lines else "it ended without a word"
