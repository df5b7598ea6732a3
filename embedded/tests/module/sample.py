"""A module whose functions tell of the process that they run in."""

import importlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from dagger import function, object_type

BORN = time.time_ns()
COUNT = [0]


@object_type
class Sample:
    """Tells."""

    @function
    def count(self) -> str:
        """Count the calls of this process, and leave traces in it."""
        COUNT[0] += 1
        leaked = os.environ.get("LEAK", "")
        os.environ["LEAK"] = "leaked"
        told = {"count": COUNT[0], "pid": os.getpid(), "born": BORN, "random": random.random(), "leaked": leaked}
        return json.dumps(told)

    @function
    def describe(self) -> str:
        """Tell what a process inherits, as far as it can be seen."""
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        env = dict(os.environ)
        token = env.pop("DAGGER_SESSION_TOKEN")
        mask = os.umask(0)
        limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
        return json.dumps(
            {
                "parent": os.getppid(),
                "token": token,
                "env": env,
                "cwd": str(Path.cwd()),
                "umask": mask,
                "limits": {name: resource.getrlimit(getattr(resource, name)) for name in limits},
                "leader": os.getsid(0) == os.getpid() == os.getpgid(0),
                "descriptors": _descriptors(),
                "signals": [status[name].strip() for name in ("SigBlk", "SigIgn", "SigCgt")],
                "handlers": [_without_address(signal.getsignal(number)) for number in signal.valid_signals()],
                "rights": [status[name].strip() for name in ("Uid", "Gid", "CapEff", "NoNewPrivs")],
                "nice": os.getpriority(os.PRIO_PROCESS, 0),
                "threads": threading.active_count(),
                "path": sys.path,
                "argv": sys.argv,
                "flags": str(sys.flags),
                "main": sorted(name for name in vars(sys.modules["__main__"]) if name.startswith("__")),
                "encodings": [sys.stdout.encoding, sys.stderr.encoding, sys.getfilesystemencoding()],
                "buffering": [getattr(sys.stdout, name) for name in ("line_buffering", "write_through")],
                "name": __name__,
            },
            default=list,
        )

    @function
    def leave(self, code: int) -> str:
        """End without an answer."""
        print("out", flush=True)
        time.sleep(0.1)
        print("err", file=sys.stderr, flush=True)
        if code < 0:
            os.kill(os.getpid(), -code)
        os._exit(code)

    @function
    def fail(self) -> str:
        """Raise."""
        print("before it fails", file=sys.stderr, flush=True)
        raise RuntimeError("it failed")

    @function
    def wait(self, seconds: str) -> str:
        """Wait for a process of this one's own."""
        subprocess.run(["sleep", seconds], check=False)
        return ""

    @function
    def idle(self) -> str:
        """Wait."""
        time.sleep(60)
        return ""

    @function
    def has(self, name: str) -> bool:
        """Tell whether a library is there before anything of this module has imported it."""
        return name in sys.modules

    @function
    def bring(self, name: str) -> bool:
        """Import a library, if it is there."""
        try:
            importlib.import_module(name)
        except ImportError:
            return False
        return True


def _descriptors() -> dict[str, int]:
    """Count what is open, by kind."""
    open_files = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return dict(Counter(str(path.readlink()).split(":")[0] for path in open_files))


def _without_address(handler: object) -> str:
    return re.sub("0x[0-9a-f]+", "", str(handler))
