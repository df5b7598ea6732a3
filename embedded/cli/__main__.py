"""`python -m embedded.cli [--lab] ARGS`: the arguments of `dagger`, answered by the embedded engine."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

from embedded.cli.app import main


def run() -> int:
    """Run the process's own command line."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read standard output has seen enough; Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    # Python's own threshold has it look for cycles some two hundred times a call, for 0.1 s.
    gc.set_threshold(50_000)
    code = run()
    # All is said and closed by now: to take the schema apart, object by object, Python needs 0.2 s.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)
