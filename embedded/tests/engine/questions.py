"""Small questions to an engine, asked through `dagger-io`; `observed.json` holds what Dagger v0.21.8 answered."""

from __future__ import annotations

import re
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import dagger
from dagger import dag

Question = Callable[[], Awaitable[Any]]

IMAGE = "docker.io/library/debian:trixie-slim"
QUESTIONS: dict[str, Question] = {}


def question(ask: Question) -> Question:
    QUESTIONS[ask.__name__] = ask
    return ask


def base() -> dagger.Container:
    return dag.container().from_(IMAGE)


def sh(script: str, container: dagger.Container | None = None) -> dagger.Container:
    return (container or base()).with_exec(["sh", "-c", script])


def scrubbed(text: str) -> str:
    """An error's text without what differs from run to run."""
    text = re.sub(r"\s*\[traceparent:[^\]]*\]", "", text)
    text = re.sub(r"/tmp/[A-Za-z0-9_./-]+", "/tmp/X", text)
    return re.sub(r"(xxh3|sha256):[0-9a-f]{16,}", r"\1:X", text.replace(IMAGE, "IMAGE")).strip()


async def answer(ask: Question) -> dict[str, Any]:
    """The answer as it is recorded: a value, or an error by its kind and what users see of it."""
    try:
        with anyio.fail_after(120):
            return {"value": await ask()}
    except dagger.ExecError as error:
        return {"error": "ExecError", "exit_code": error.exit_code, "stdout": error.stdout, "stderr": error.stderr}
    except dagger.QueryError as error:
        return {"error": "QueryError", "message": scrubbed(str(error))}
    except TimeoutError:
        return {"error": "no answer in 120 s"}
    except Exception as error:
        return {"error": type(error).__name__, "message": scrubbed(str(error)) or traceback.format_exc(limit=1)}


def same(recorded: dict[str, Any], given: dict[str, Any]) -> bool:
    """Values and exec errors are equal; of another error only its kind, since texts are each engine's own."""
    if recorded.get("error") == "QueryError":
        return given.get("error") in ("QueryError", "ExecError")
    return recorded == given
