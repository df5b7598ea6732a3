"""Runs the programs that do the work, and the small file operations that the imager shares."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ImagerError, os_error_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .report import Progress


def run(arguments: Sequence[str | Path], *, cwd: Path | None = None, stdin: bytes | None = None) -> bytes:
    """Runs a program to its end and returns its standard output.

    Raises ImagerError with the program's name, its exit status and what it said on standard error.
    """
    try:
        done = subprocess.run(arguments, cwd=cwd, input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise ImagerError(f'exec: "{arguments[0]}": executable file not found in $PATH') from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise ImagerError(f"{arguments[0]}: exit status {done.returncode}: {said}")
    return done.stdout


def pipe(first: Sequence[str], second: Sequence[str], *, stdin: bytes, append_to: Path, cwd: Path) -> None:
    """Runs `first | second >> FILE` in a folder.

    Raises ImagerError when either program fails.
    """
    with append_to.open("ab") as destination:
        producer = subprocess.Popen(first, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        consumer = subprocess.Popen(second, cwd=cwd, stdin=producer.stdout, stdout=destination)
        assert producer.stdin is not None
        assert producer.stdout is not None
        producer.stdout.close()
        producer.stdin.write(stdin)
        producer.stdin.close()
        for process, arguments in ((producer, first), (consumer, second)):
            if process.wait() != 0:
                raise ImagerError(f"{arguments[0]}: exit status {process.returncode}")


def copy_file(source: str | Path, target: str | Path, progress: Progress) -> None:
    """Copies one file and says so.

    Raises ImagerError `error copying A -> B: open A: no such file or directory`.
    """
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    progress(f"copying {source} to {target}")
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        culprit = error.filename or source
        raise ImagerError(f"error copying {source} -> {target}: {os_error_text('open', culprit, error)}") from None


def source_date_epoch() -> int | None:
    """Returns SOURCE_DATE_EPOCH in seconds, None when it is not set.

    Raises ImagerError when it is not a number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise ImagerError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def touch_tree(root: Path, progress: Progress) -> None:
    """Sets the times of all below a folder, links not followed, to SOURCE_DATE_EPOCH where that is set."""
    epoch = source_date_epoch()
    if epoch is None:
        return
    local = time.localtime(epoch)
    progress(f'changing timestamps under "{root}" to {time.strftime("%Y-%m-%d %H:%M:%S %z %Z", local)}')
    for path in (root, *root.rglob("*")):
        os.utime(path, (epoch, epoch))
