"""`run`: a command of the caller's with the session's address in its environment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.engine.children import ended_with_parent
from embedded.engine.errors import EngineError

if TYPE_CHECKING:
    from embedded.cli.protocol import Session

_GRACE = 10.0
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run_command(session: Session, command: list[str]) -> int:
    """Run a command until it ends and return its exit code, 128 + n for one that signal n ended.

    It finds DAGGER_SESSION_PORT and DAGGER_SESSION_TOKEN, and the engine's own python (which has dagger-io) first on
    PATH. Signals are passed on to it; when the session ends first it gets SIGTERM, and SIGKILL after ten seconds.
    """
    env = dict(os.environ)
    env["DAGGER_SESSION_PORT"] = str(session.port)
    env["DAGGER_SESSION_TOKEN"] = session.token
    env["PATH"] = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
    # daggerw has the engine find its own packages; the command gets back what the caller had.
    for name in ("PYTHONPATH", "PYTHONSAFEPATH"):
        env.pop(name, None)
    for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):
        if callers := env.pop(f"DAGGERW_{name}", ""):
            env[name] = callers
    try:
        process = await asyncio.create_subprocess_exec(*command, env=env, preexec_fn=ended_with_parent(signal.SIGTERM))
    except FileNotFoundError:
        raise EngineError(f'exec: "{command[0]}": executable file not found in $PATH') from None
    except PermissionError:
        raise EngineError(f'exec: "{command[0]}": permission denied') from None
    loop = asyncio.get_running_loop()
    for number in _FORWARDED:
        loop.add_signal_handler(number, _forward, process, number)
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            await _stop(process)
        for number in _FORWARDED:
            loop.remove_signal_handler(number)
    return code if code >= 0 else 128 - code


def _forward(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # Ctrl-C reaches the whole foreground group by itself: sent again, it would interrupt the command's clean-up.
    if number is signal.SIGINT and sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp():
        return
    if process.returncode is None:
        process.send_signal(number)


async def _stop(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _GRACE)
    except TimeoutError:
        process.kill()
        await process.wait()
