"""The command line as a whole: which command, with which options, in which session; errors and exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.cli.errors import ExitCode, UsageError
from embedded.cli.flags import Flag, FlagError, FlagSet
from embedded.cli.options import Options, call_flags, global_flags, module_flags, module_path, read_options
from embedded.cli.output import say
from embedded.cli.progress import Progress, make_progress
from embedded.cli.values import current_platform, parse_bool, scalar
from embedded.engine.errors import EngineError, UnsupportedError
from embedded.setup.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from embedded.cli.protocol import Mode, OpenSession, Session

DAGGER_VERSION = "v0.21.8"
"""The Dagger whose arguments and answers these are."""

_ALIASES = {"checks": "check", "r": "run", "q": "query"}
# Commands of Dagger's own that this engine has no answer for.
_UNSUPPORTED = frozenset(
    [
        "client",
        "completion",
        "config",
        "develop",
        "engine",
        "generate",
        "init",
        "install",
        "listen",
        "lock",
        "login",
        "logout",
        "mcp",
        "org",
        "publish",
        "session",
        "shell",
        "toolchain",
        "trace",
        "uninstall",
        "up",
        "update",
    ]
)
_COMMANDS = frozenset({"call", "core", "functions", "check", "run", "query", "version", "help"})
_INTERSPERSED = frozenset({"functions", "check", "query"})
_STOP_WITHIN = 1.5


@dataclass(frozen=True)
class Request:
    """A command line taken apart as far as it can be without the module."""

    command: str
    words: list[str]
    options: Options
    mode: Mode
    wants_help: bool


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


def read_request(args: list[str]) -> Request:
    """Find the command and the global options, wherever those stand; raises EngineError."""
    mode: Mode = "lab" if args[:1] == ["--lab"] else "real"
    words = args[1:] if mode == "lab" else args
    before = global_flags()
    rest = before.parse(words, interspersed=False)
    command = _ALIASES.get(rest[0], rest[0]) if rest else ""
    wants_help = bool(before["help"].value.get())
    if command == "help":
        command, rest, wants_help = (rest[1] if len(rest) > 1 else ""), rest[1:], True
    _check_command(command)
    if command == "run":
        # What follows the program's name is its own, where these options may mean something else.
        everywhere = before
        FlagSet([*before, *own_flags("run")]).parse(rest[1:], interspersed=False, skip_unknown=True)
        wants_help = wants_help or bool(before["help"].value.get())
    else:
        everywhere = global_flags()
        everywhere.parse(words, interspersed=True, skip_unknown=True)
        ended = rest.index("--") if "--" in rest else len(rest)
        wants_help = wants_help or any(word in ("--help", "-h") for word in rest[:ended])
    return Request(command, rest[1:], read_options(everywhere, os.environ), mode, wants_help)


def answer_alone(request: Request) -> bool:
    """Answer what needs no session; tells whether that was all."""
    from embedded.cli.help import print_command_help

    command = request.command
    inherited = global_flags()
    if not command:
        print_command_help("", inherited)
    elif command == "version" and not request.wants_help:
        print(f"dagger {DAGGER_VERSION} (embedded engine) {current_platform()}")
    elif request.wants_help and command not in ("call", "core"):
        own = None if command == "version" else own_flags(command)
        usage = {"check": "[pattern...]", "functions": "[function]...", "run": "<command>..."}.get(command, "")
        print_command_help(command, inherited, own, usage)
    else:
        return False
    return True


def own_flags(command: str) -> FlagSet:
    """Make the flags of a command's own, functions' arguments aside."""
    match command:
        case "run":
            timeout = Flag("cleanup-timeout", scalar("duration", str, "10s"), "Has no effect: it is always ten seconds")
            return FlagSet([timeout, _switch("focus", "Has no effect: the command's output is always shown")])
        case "query":
            from embedded.cli.query import query_flags

            return FlagSet([*query_flags(), *module_flags()])
        case "check":
            return FlagSet(
                [
                    _switch("list", "List available checks", "l"),
                    _switch("failfast", "Begin no further check after the first failure"),
                    _switch("no-generate", "Has no effect: only functions marked as checks are run"),
                    *module_flags(),
                ]
            )
        case "functions":
            return module_flags()
        case _:
            return call_flags()


def print_error(error: EngineError, *, streams: bool = True) -> int:
    """Say what went wrong on standard error; returns the exit code, a failed command's own if it was one.

    `streams` says whether a failed command's output is still to be shown.
    """
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
    module = module_path(own, f"dagger {request.command}") if "mod" in own else None
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
            raise UsageError("requires at least 1 arg(s), only received 0", "dagger run")
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
        selected = check.select_checks(check.find_checks(model), patterns)
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
            command=f"dagger {command}",
            mode=request.mode,
            wants_help=request.wants_help,
            auto_apply=request.options.auto_apply,
        )
    return 0


def _look_ahead(request: Request) -> FlagSet:
    """Read a command's own flags as far as they go without knowing the module's, for `--mod`."""
    own = own_flags(request.command)
    known = FlagSet(flag for group in (own, global_flags()) for flag in group)
    known.parse(request.words, interspersed=request.command in _INTERSPERSED, skip_unknown=True)
    return own


def _strict(request: Request) -> tuple[FlagSet, list[str]]:
    """Read a command line whose flags are all known; returns them and the other words."""
    own = own_flags(request.command)
    known = FlagSet(flag for group in (own, global_flags()) for flag in group)
    try:
        return own, known.parse(request.words, interspersed=request.command in _INTERSPERSED)
    except FlagError as error:
        raise UsageError(str(error), f"dagger {request.command}") from error


def _loads_module(command: str, own: FlagSet) -> bool:
    """Tell whether a command is about a module; `query` can do without."""
    if command in ("core", "run") or own["no-mod"].value.get():
        return False
    if command != "query":
        return True
    here = Path.cwd()
    return bool(own["mod"].value.get()) or any((folder / "dagger.json").is_file() for folder in (here, *here.parents))


def _check_command(command: str) -> None:
    if not command or command in _COMMANDS:
        return
    if command in _UNSUPPORTED or Path(command).is_file():
        raise UnsupportedError(f"dagger {command if command in _UNSUPPORTED else 'shell'}")
    from embedded.cli.functions import seems_a_function

    message = f'unknown command or file "{command}" for "dagger"'
    near = difflib.get_close_matches(command, sorted(_COMMANDS), n=3, cutoff=0.7)
    if seems_a_function(command, Path.cwd()):
        near.insert(0, f"call {command}")
    raise EngineError(message + ("\n\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in near) if near else ""))


def _switch(name: str, usage: str, short: str = "") -> Flag:
    return Flag(name, scalar("", parse_bool, False, bare="true"), usage, short)
