"""Runs a program of a set-up step: its lines go to a log, the last of them into the error, and no process stays."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from embedded.setup.errors import SetupError

TAIL_LINES = 8

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


_LIBC = ctypes.CDLL(None)


def _die_with_parent() -> None:
    """Ends the child when set-up is killed in a way that it cannot answer (Linux: PR_SET_PDEATHSIG)."""
    _LIBC.prctl(1, signal.SIGKILL)


def end_group(process: subprocess.Popen[str]) -> None:
    """Ends a process and all that it started, and waits for it."""
    for number, seconds in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            if number == signal.SIGKILL:
                return


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    on_line: Callable[[str], None] = lambda _: None,
    check: bool = True,
) -> str:
    """Run a command, append what it says to the log, and return that text.

    Each line is also given to `on_line`. Raises SetupError with the last lines when it fails (unless `check` is off).
    """
    words = [str(word) for word in command]
    lines: list[str] = []
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(words)}\n")
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=env,
            cwd=cwd,
            start_new_session=True,  # Ctrl-C reaches set-up alone, which then ends the whole group
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - a single call into libc, already loaded, takes no lock
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                lines.append(line)
                if text := line.strip():
                    tail.append(text)
                    on_line(text)
            code = process.wait()
        except BaseException:
            end_group(process)
            raise
        file.write(f"[exit code {code}]\n")
    output = "".join(lines)
    if check and code != 0:
        text = "\n".join(tail)
        raise SetupError(f"{Path(words[0]).name} failed with exit code {code}", tail=text, log=log, hint=hint_for(text))
    return output
