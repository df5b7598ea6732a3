"""The command line as a whole: which command, with which options, in which session; errors and exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.cli.display import make_progress
from embedded.cli.errors import ExitCode, UsageError
from embedded.cli.flags import FlagError, FlagSet
from embedded.cli.options import global_flags, module_path
from embedded.cli.output import say, write_out
from embedded.cli.request import INTERSPERSED, Request, own_flags, read_request
from embedded.cli.values import current_platform
from embedded.engine.errors import EngineError
from embedded.setup.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from embedded.cli.progress import Progress
    from embedded.cli.protocol import OpenSession, Session

DAGGER_VERSION = "v0.21.8"
"""The Dagger whose arguments and answers these are."""

_STOP_WITHIN = 1.5


def main(args: Sequence[str], opener: OpenSession | None = None) -> int:
    """Run a command line and return its exit code; `opener` starts the session (the engine's own by default)."""
    try:
        request = read_request(list(args))
        if request.options.workdir:
            os.chdir(request.options.workdir)
        if answer_alone(request):
            return 0
        return _run(request, opener)
    except EngineError as error:
        return print_error(error)
    except SetupError as error:
        return print_error(EngineError(str(error)))
    except ExitCode as ended:
        return ended.code
    except FlagError as error:
        return print_error(UsageError(str(error), "dagger"))
    except BrokenPipeError:
        raise
    except OSError as error:
        return print_error(EngineError(str(error)))


def answer_alone(request: Request) -> bool:
    """Answer what needs no session; tells whether that was all."""
    from embedded.cli.help import print_command_help

    command = request.command
    inherited = global_flags()
    if not command or command == "api":
        print_command_help(command, inherited)
    elif command == "version" and not request.wants_help:
        write_out(
            f"{DAGGER_VERSION}\n"
            if request.options.quiet
            else f"dagger {DAGGER_VERSION} (embedded engine) {current_platform()}\n"
            f"It answers the API of Dagger {DAGGER_VERSION}, and takes the command lines of 0.21 and 1.0.\n"
        )
    elif request.wants_help and command not in ("call", "core"):
        own = None if command == "version" else own_flags(command)
        usage = {"check": "[pattern...]", "functions": "[function]...", "run": "<command>..."}.get(command, "")
        print_command_help(command, inherited, own, usage, spelled=request.spelled)
    else:
        return False
    return True


def print_error(error: EngineError, *, streams: bool = True) -> int:
    """Say what went wrong on standard error; returns the exit code, a failed command's own if it was one.

    `streams` says whether a failed command's output is still to be shown.
    """
    if isinstance(error, UsageError) and error.near:
        say(f"Did you mean: {', '.join(error.near)}?")
    say(f"Error: {error}")
    details = error.extensions
    if details.get("_type") != "EXEC_ERROR":
        return 1
    for title, text in (("Stdout", details.get("stdout")), ("Stderr", details.get("stderr"))):
        if text and streams:
            say(f"{title}:\n{text}")
    code = details.get("exitCode")
    return code if isinstance(code, int) and code > 0 else 1


def _run(request: Request, opener: OpenSession | None) -> int:
    """Run the request in an event loop; a signal cancels it, and ends the process if that takes too long."""
    stopped: list[int] = []
    # What does not end by itself is ended: the engine's own programs die with this process.
    last_resort = threading.Timer(_STOP_WITHIN, lambda: os._exit(128 + stopped[0]))
    last_resort.daemon = True
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    async def guarded() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def stop(number: int, _frame: FrameType | None) -> None:
            # Once is enough: a second cancellation would interrupt the clean-up after the first.
            if not stopped:
                stopped.append(number)
                last_resort.start()
                with contextlib.suppress(RuntimeError):  # all is done, and the loop is closed
                    loop.call_soon_threadsafe(task.cancel)

        for number in previous:
            signal.signal(number, stop)
        return await _serve(request, opener)

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        say("Canceled.")
        return 128 + stopped[0] if stopped else 1
    finally:
        last_resort.cancel()
        for number, handler in previous.items():
            signal.signal(number, handler)


async def _serve(request: Request, opener: OpenSession | None) -> int:
    if opener is None:
        from embedded.engine.session import open_session

        opener = open_session
    if request.mode == "lab":
        from embedded.cli.lab import LAB_NOTICE

        say(LAB_NOTICE)
    own = _look_ahead(request)
    module = module_path(own, request.spelled) if "mod" in own else None
    options = request.options
    progress = make_progress(options.progress, silent=options.silent, quiet=options.quiet, verbose=options.verbose)
    try:
        async with opener(
            mode=request.mode,
            workdir=Path.cwd(),
            module=module,
            loads=_loads_module(request.command, own),
            on_step=progress.on_step,
        ) as session:
            return await _dispatch(session, request, progress)
    except EngineError as error:
        progress.close()
        return print_error(error, streams=not progress.shows_failures)
    finally:
        progress.close()


async def _dispatch(session: Session, request: Request, progress: Progress) -> int:
    command = request.command
    if command == "run":
        from embedded.cli.run import run_command

        _, program = _strict(request)
        if not program:
            raise UsageError("requires at least 1 arg(s), only received 0", request.spelled)
        return await run_command(session, program)
    if command == "query":
        from embedded.cli.query import run_query

        own, _ = _strict(request)
        if _loads_module(command, own):
            await session.load_module()
        await run_query(session, own)
        return 0
    from embedded.cli.model import Model

    main_field = await session.load_module() if _loads_module(command, _look_ahead(request)) else ""
    model = Model(session.schema, main_field)
    if command == "functions":
        from embedded.cli.functions import list_functions

        _, path = _strict(request)
        progress.close()
        list_functions(model, path)
    elif command == "check":
        from embedded.cli import check

        own, patterns = _strict(request)
        selected = check.select_checks(check.find_checks(model), patterns, own["skip"].value.get())
        if own["list"].value.get():
            progress.close()
            check.list_checks(selected)
        else:
            fail_fast: bool = own["failfast"].value.get()
            await check.run_checks(session, model, selected, progress, mode=request.mode, fail_fast=fail_fast)
    else:
        from embedded.cli.call import call

        await call(
            session,
            model,
            request.words,
            progress,
            command=request.spelled,
            mode=request.mode,
            wants_help=request.wants_help,
            auto_apply=request.options.auto_apply,
        )
    return 0


def _look_ahead(request: Request) -> FlagSet:
    """Read a command's own flags as far as they go without knowing the module's, for `--mod`."""
    own = own_flags(request.command)
    known = FlagSet(flag for group in (own, global_flags()) for flag in group)
    known.parse(request.words, interspersed=request.command in INTERSPERSED, skip_unknown=True)
    return own


def _strict(request: Request) -> tuple[FlagSet, list[str]]:
    """Read a command line whose flags are all known; returns them and the other words."""
    own = own_flags(request.command)
    known = FlagSet(flag for group in (own, global_flags()) for flag in group)
    try:
        return own, known.parse(request.words, interspersed=request.command in INTERSPERSED)
    except FlagError as error:
        raise UsageError(str(error), request.spelled) from error


def _loads_module(command: str, own: FlagSet) -> bool:
    """Tell whether a command is about a module; `query` can do without."""
    if command in ("core", "run") or own["no-mod"].value.get():
        return False
    if command != "query":
        return True
    here = Path.cwd()
    return bool(own["mod"].value.get()) or any((folder / "dagger.json").is_file() for folder in (here, *here.parents))
