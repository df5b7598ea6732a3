"""Who uses a daemon: each call holds a shared lock on a file, which the kernel lets go when the call is killed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def hold(path: Path) -> int:
    """Enter as a client; returns the lock's file descriptor. Waits while a daemon is being stopped."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    os.utime(descriptor)
    return descriptor


def release(descriptor: int) -> None:
    """Leave: the idle time begins now, if nobody else is there."""
    os.utime(descriptor)
    os.close(descriptor)


def nobody(descriptor: int) -> bool:
    """Take the lock alone if no client holds it; whoever gets True must let go of it or end the daemon."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def count(path: Path) -> int:
    """Count the clients, from the kernel's list of locks."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    # "1: FLOCK  ADVISORY  READ 1234 fe:00:5678 0 EOF", with "->" as second column while waiting. The device is not
    # compared: on some file systems the kernel shows another one here than in a file's status.
    return sum(row[1] == "FLOCK" and row[3] == "READ" and row[5].endswith(f":{status.st_ino}") for row in rows)
