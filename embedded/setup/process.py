"""Runs a program of a set-up step: its lines go to a log, the last of them into the error, and no process stays."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from embedded.setup.errors import SetupError

TAIL_LINES = 8
INTERRUPTED = "it was ended, as something else failed"

# What the last lines of a failing program hold → what the person can do. The first match counts.
_HINTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("no space left on device", "disk quota exceeded"),
        "the disk is full: free some space, or set XDG_CACHE_HOME to a folder on another disk, and run it again",
    ),
    (
        ("x509:", "certificate verify failed", "invalid peer certificate", "unknownissuer", "unknown authority"),
        "a certificate is not trusted: install ca-certificates, or name your own bundle in SSL_CERT_FILE and PIP_CERT",
    ),
    (
        (
            "name resolution",
            "could not resolve",
            "no such host",
            "dns error",
            "connection refused",
            "network is unreachable",
            "timed out",
            "i/o timeout",
            "proxyconnect",
            "proxyerror",
            "proxy error",
            "connect to proxy",
            "error sending request",
            "failed to fetch",
            "unable to connect",
            "connection reset",
            "no matching distribution found",
        ),
        "check the network and the proxy variables (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), then go on by running it again",
    ),
)


def hint_for(text: str) -> str:
    """The way out, by what a failing program wrote."""
    lower = text.lower()
    return next((hint for words, hint in _HINTS if any(word in lower for word in words)), "")


NETWORK_VARIABLE = "COZYSTACK_TALOS_NETWORK_SECONDS"
NETWORK_SECONDS = 60.0
PATIENCE = 5
"""So many limits long a program may say nothing while it downloads: it reports a download's begin, not its progress."""


class _Watch:
    """Ends a program that says nothing after a line that reports a download."""

    def __init__(self, process: subprocess.Popen[str], downloads: re.Pattern[str]) -> None:
        try:
            seconds = float(os.environ.get(NETWORK_VARIABLE) or NETWORK_SECONDS)
        except ValueError:
            seconds = NETWORK_SECONDS
        self.seconds = PATIENCE * seconds
        self.silent = ""
        """What was being downloaded when it was ended."""
        self._process = process
        self._downloads = downloads
        self._line, self._since = "", time.monotonic()
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def hear(self, line: str) -> None:
        self._line, self._since = line, time.monotonic()

    def end(self) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(min(1.0, self.seconds / 5)):
            if self._downloads.match(self._line) and time.monotonic() - self._since > self.seconds:
                self.silent = self._line
                end_group(self._process)
                return


_LIBC = ctypes.CDLL(None)


def _die_with_parent() -> None:
    """Ends the child when set-up is killed in a way that it cannot answer (Linux: PR_SET_PDEATHSIG)."""
    _LIBC.prctl(1, signal.SIGKILL)


_running: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()
_stopped = threading.Event()


def allow() -> None:
    """Let programs be started, again after `stop`."""
    _stopped.clear()


def stop() -> None:
    """End all programs that run, in whatever thread, and let none be started."""
    with _lock:
        _stopped.set()
        running = list(_running)
    for process in running:
        end_group(process)


def end_group(process: subprocess.Popen[str]) -> None:
    """Ends a process and all that it started, and waits for it."""
    for number, seconds in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            if number == signal.SIGKILL:
                return


def _start(words: list[str], **settings: Any) -> subprocess.Popen[str]:
    with _lock:
        if _stopped.is_set():
            raise SetupError(INTERRUPTED)
        process = subprocess.Popen(words, **settings)  # the function before its start is a single call into libc
        _running.add(process)
    return process


def _reap(process: subprocess.Popen[str]) -> tuple[int, float]:
    """Wait for a process; returns its exit code, and the processor time of all that it waited for."""
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except ChildProcessError:  # whoever ended it has waited for it, too
        return process.wait(), 0.0
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    on_line: Callable[[str], None] = lambda _: None,
    on_end: Callable[[float], None] = lambda _: None,
    check: bool = True,
    downloads: re.Pattern[str] | None = None,
) -> str:
    """Run a command, append what it says to the log, and return that text.

    Each line is also given to `on_line`, and to `on_end` the seconds of processor time that it and its children took.
    Raises SetupError with the last lines when it fails (unless `check` is off), and when it says nothing for long after
    a line that reports a download, which is one that `downloads` matches.
    """
    words = [str(word) for word in command]
    lines: list[str] = []
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(words)}\n")
        process = _start(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=env,
            cwd=cwd,
            start_new_session=True,  # Ctrl-C reaches set-up alone, which then ends the whole group
            preexec_fn=_die_with_parent,
        )
        assert process.stdout is not None
        watch = _Watch(process, downloads) if downloads else None
        try:
            for line in process.stdout:
                file.write(line)
                lines.append(line)
                if text := line.strip():
                    if watch:
                        watch.hear(text)
                    tail.append(text)
                    on_line(text)
            code, seconds = _reap(process)
            on_end(seconds)
        except BaseException:
            end_group(process)
            raise
        finally:
            _running.discard(process)
            if watch:
                watch.end()
        file.write(f"[exit code {code}]\n")
    output = "".join(lines)
    if _stopped.is_set():
        raise SetupError(INTERRUPTED)
    if watch and watch.silent:
        raise SetupError(
            f"{Path(words[0]).name} heard nothing for {watch.seconds:.0f} s ({watch.silent})",
            hint=f"check the network and its proxy (GOPROXY, HTTPS_PROXY); set {NETWORK_VARIABLE} to wait longer",
            log=log,
        )
    if check and code != 0:
        text = "\n".join(tail)
        raise SetupError(f"{Path(words[0]).name} failed with exit code {code}", tail=text, log=log, hint=hint_for(text))
    return output
