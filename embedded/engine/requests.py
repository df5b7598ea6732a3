"""The requests of a session, written down for who looks at what a call waits for."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Generator
from pathlib import Path

VARIABLE = "DAGGERW_REQUESTS"
"""Names a file to which each request to the session is added: a line of JSON with `began`, `seconds` and `query`."""


@contextlib.contextmanager
def noted(query: str) -> Generator[None]:
    """Note a request that is answered in this block, where the environment names a file for it."""
    began = time.time()
    try:
        yield
    finally:
        if name := os.environ.get(VARIABLE):
            line = json.dumps({"began": began, "seconds": round(time.time() - began, 4), "query": query})
            with contextlib.suppress(OSError), Path(name).open("a", encoding="utf-8") as log:
                log.write(f"{line}\n")
