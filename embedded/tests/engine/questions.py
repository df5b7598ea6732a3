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


SAYS: dict[str, tuple[str, ...]] = {
    "container_from_bad_reference": ("Not A Ref", "must be lowercase"),
    "container_from_unreachable_registry": (
        'failed to resolve image "127.0.0.1:1/nothing/here:1" (platform: "linux/amd64"): ',
        "connection refused",
    ),
    "directory_missing_subdirectory": ("stat nope: no such file or directory",),
    "exec_empty_args": ("no command has been set",),
    "exec_stdout_without_exec": ("no command has been set",),
    "file_is_a_directory": ("path d is a directory, not a file",),
    "file_missing": ("stat nope: no such file or directory",),
    "file_replace_of_two_needs_all": ("search string found multiple times: line 1 (0-1), line 1 (4-5)",),
    "file_replace_what_is_not_there": ("search string not found",),
    "host_directory_missing": ("lstat /no", "no such file or directory"),
}
"""Question → what its error says in every engine; the rest of an error's text is each engine's own."""


def same(name: str, recorded: dict[str, Any], given: dict[str, Any]) -> bool:
    """Values and exec errors are equal; of another error the kind, and what it says of the cause."""
    if recorded.get("error") != "QueryError":
        return recorded == given
    said = SAYS[name]
    return given.get("error") == "QueryError" and all(
        part in answer["message"] for answer in (recorded, given) for part in said
    )
