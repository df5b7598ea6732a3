"""What several of set-up's tests use."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from embedded.setup.progress import Detail

TOP = Path(__file__).resolve().parents[3]


class Notes:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []

    @contextmanager
    def step(self, title: str) -> Generator[Detail]:
        self.steps.append(title)
        yield lambda _: None

    def note(self, text: str) -> None:
        self.notes.append(text)


Start = Callable[..., "subprocess.Popen[str]"]


def eventually(true: Callable[[], object], seconds: float = 15) -> None:
    """Waits until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to hold in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Does this process run still? A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
