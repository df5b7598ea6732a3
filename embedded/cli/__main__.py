"""`python -m embedded.cli [--lab] ARGS`: the arguments of `dagger`, answered by the embedded engine."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
from typing import Any, TextIO, cast

from embedded.cli.app import main
from embedded.cli.output import say


def run() -> int:
    """Run the process's own command line."""
    open_streams()
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read standard output has seen enough; Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        say(f"Error: can't write to standard output: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def open_streams() -> None:
    """See that descriptors 0, 1 and 2 are open: the next file or connection would else be one of them.

    A standard output that was closed can't be written to afterwards either; what is said on a closed standard error is
    lost. What can't be encoded is written as an escape.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # the lowest number that is free
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115
    sys.stdout = _text(sys.stdout, 1)
    sys.stderr = _text(sys.stderr, 2)


def _text(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:
        return open(number, "w", encoding="utf-8", errors="backslashreplace")
    if isinstance(stream, io.TextIOWrapper):
        cast("Any", stream).reconfigure(errors="backslashreplace")
    return cast("TextIO", stream)


if __name__ == "__main__":
    # Python's own threshold has it look for cycles some two hundred times a call, for 0.1 s.
    gc.set_threshold(50_000)
    code = run()
    # All is said and closed by now: to take the schema apart, object by object, Python needs 0.2 s.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)
