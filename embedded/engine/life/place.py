"""Where a mode's daemon keeps its things: names only."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Mode = Literal["real", "lab"]
MODES: tuple[Mode, ...] = get_args(Mode)

SOCKET_PATH_LIMIT = 100
"""A Unix socket's path may have 107 bytes; BuildKit adds a suffix to it for its tracing socket."""


@dataclass(frozen=True)
class Place:
    """The folder `<cache>/engine/<mode>` of a mode's daemon, readable by its owner alone."""

    cache: Path
    mode: Mode

    @property
    def folder(self) -> Path:
        """All of it, but for a socket whose name would be too long."""
        return self.cache / "engine" / self.mode

    @property
    def root(self) -> Path:
        """BuildKit's own folder: the cache."""
        return self.folder / "buildkit"

    @property
    def root_lock(self) -> Path:
        """The daemon holds a lock on it as long as it lives, also while the kernel keeps what was killed."""
        return self.root / "buildkitd.lock"

    @property
    def socket(self) -> Path:
        """Below the folder, or in a short place of its own where that name would be too long for a socket."""
        path = self.folder / "buildkitd.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
            return path
        return Path("/run") / f"cozystack-talos-{self.digest}" / "buildkitd.sock"

    @property
    def address(self) -> str:
        """The socket as BuildKit's clients want it."""
        return f"unix://{self.socket}"

    @property
    def config(self) -> Path:
        """BuildKit's configuration, written on each start."""
        return self.folder / "buildkitd.toml"

    @property
    def plugins(self) -> Path:
        """What the network plugins are told, written on each start."""
        return self.folder / "network.conflist"

    @property
    def rules(self) -> Path:
        """The packet filter's rules that were added for this place; there until they are removed again."""
        return self.folder / "rules.json"

    @property
    def log(self) -> Path:
        """BuildKit's own log; that of the run before ends in `.1`."""
        return self.folder / "buildkitd.log"

    @property
    def order(self) -> Path:
        """What the supervisor is told to run."""
        return self.folder / "order.json"

    @property
    def state(self) -> Path:
        """What the supervisor says that it runs; there only while it does."""
        return self.folder / "state.json"

    @property
    def clients(self) -> Path:
        """Each call holds a shared lock on this file; its time is that of the last call's begin or end."""
        return self.folder / "clients.lock"

    @property
    def starting(self) -> Path:
        """Held by whoever starts a daemon."""
        return self.folder / "starting.lock"

    @property
    def supervising(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.folder / "supervisor.lock"

    @property
    def network(self) -> Path:
        """What the network plugins remember, which would otherwise be below /var/lib/cni."""
        return self.folder / "network"

    @property
    def digest(self) -> str:
        """Tells this place from those of other caches, in names that the whole machine shares."""
        return hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:8]

    @property
    def bridge(self) -> str:
        """The network bridge of its containers; such names have 15 characters at most."""
        return f"cozy-{self.digest}"

    def make(self) -> None:
        """Create the folders, for the owner alone."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.network.mkdir(exist_ok=True, mode=0o700)
        self.socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
