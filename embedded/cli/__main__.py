"""`python -m embedded.cli [--lab] ARGS`: the arguments of `dagger`, answered by the embedded engine."""

from __future__ import annotations

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
    sys.exit(run())
