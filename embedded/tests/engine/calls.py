"""Calls through the whole stack, `daggerw`, a session, BuildKit, containers of the lab, with an engine of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from embedded.engine.life.place import MODES, Place
from embedded.engine.module import forkservers
from embedded.setup.paths import EMBEDDED
from embedded.tests.life.harness import children

DAGGERW = EMBEDDED.parent / "daggerw"
IMAGE = "docker.io/library/debian:trixie-slim"
WARM_SECONDS = 120
"""How long a call may take until it does its work: the module's environment may have to be made."""
COLD_SECONDS = 480
"""How long the first one may take: the lab's image may have to be made."""


@dataclass
class Calls:
    """Calls with a BuildKit of the tests' own; what set-up, the lab and modules' environments made is the machine's."""

    cache: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    def place(self, mode: str = "lab") -> Place:
        return Place(self.cache, next(one for one in MODES if one == mode))

    def pid(self, name: str, mode: str = "lab") -> int:
        return json.loads(self.place(mode).state.read_text())[name]

    def servers(self) -> set[int]:
        """Return what stays ready to fork modules' processes."""
        return {pid for one in forkservers.servers(self.cache) if (pid := one.pid)}

    def forked(self) -> set[int]:
        """Return the modules' processes."""
        return {child for server in self.servers() for child in children(server)}

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        """Start daggerw as leader of a process group of its own, as a terminal's foreground job is one."""
        process = subprocess.Popen(
            [DAGGERW, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            env=os.environ | {"DAGGERW_ENGINE": "embedded", "XDG_CACHE_HOME": str(self.cache.parent)} | env,
        )
        self.started.append(process)
        return process

    def run(self, *args: str, **env: str) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr of a call."""
        process = self.start(*args, **env)
        out, err = process.communicate(timeout=WARM_SECONDS)
        return process.returncode, out, err

    def refused(self, *args: str, **env: str) -> str:
        """Return the error of a call, from `Error: ` on; it has to fail in words."""
        code, out, err = self.run(*args, **env)
        assert (code, out) == (1, ""), err
        assert "Traceback" not in err
        assert len(re.findall("^Error: ", err, re.MULTILINE)) == 1, err
        return err[err.index("Error: ") :].strip()
