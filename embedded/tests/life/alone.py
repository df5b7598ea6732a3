"""An engine that tests have for themselves, and that ends with them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import pytest

from embedded.engine.life.leases import stop
from embedded.engine.life.place import MODES, Place


class Starter(Protocol):
    """What starts processes that use an engine."""

    @property
    def started(self) -> list[subprocess.Popen[Any]]: ...

    def place(self, mode: str = ...) -> Place: ...


S = TypeVar("S", bound=Starter)


@contextmanager
def alone(starter: S) -> Generator[S]:
    """Keep all away that points at other engines; in the end nothing of what was started is left."""
    if os.geteuid() != 0:
        pytest.skip("BuildKit needs root")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BUILDKIT_HOST", "COZYSTACK_TALOS_IDLE_SECONDS", "DAGGERW_LAB"):
            patch.delenv(name, raising=False)
        patch.setenv("COZYSTACK_TALOS_BUILDKITD_TOML", "/dev/null")
        try:
            yield starter
        finally:
            for process in starter.started:
                process.kill()
                process.wait()
            for mode in MODES:
                stop(starter.place(mode))
