"""Programs that end with the code that started them."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


_SECONDS = 10


async def ended(*tasks: asyncio.Task[None]) -> None:
    """End tasks that read a program's output."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def started(command: list[str]) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Start a program in a new session, and end it with all that it started."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # A pipe that nobody reads to its end would keep the wait from ending. Whoever holds one against that has left
        # the session, which nothing that is started here does.
        with suppress(TimeoutError):
            await asyncio.wait_for(process.communicate(), _SECONDS)
