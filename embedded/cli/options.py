"""The options that every command takes, and those of the commands that load a module."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.cli.errors import UsageError
from embedded.cli.flags import Flag, FlagSet
from embedded.cli.values import count, many, parse_bool, scalar, split_csv
from embedded.engine.errors import EngineError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRESS = ("auto", "plain", "tty", "dots", "logs", "report")
_LOCK_OFF = ("", "disabled")


def global_flags() -> FlagSet:
    """Make the flags that stand anywhere on the line."""
    env = os.environ
    return FlagSet(
        [
            _switch("auto-apply", "y", "Automatically apply changes when a changeset is returned"),
            _switch("debug", "d", "Show debug logs and full verbosity"),
            _switch("interactive", "i", "Spawn a terminal on container exec failure (not supported)"),
            _text("interactive-command", "/bin/sh", "Command of the interactive mode (not supported)"),
            _text("lock", "", "Lock lookup mode: only disabled, the default, is supported"),
            _switch("no-exit", "E", "Leave the progress display running after completion (ignored)"),
            _text("progress", "auto", f"Progress output format ({', '.join(PROGRESS[:-1])})"),
            Flag("quiet", count(_number(env.get("DAGGER_QUIET"))), "Reduce verbosity: no summary at the end", "q"),
            _switch("silent", "s", "Do not show progress at all", env.get("DAGGER_SILENT", "") in ("1", "true")),
            Flag("verbose", count(), "Increase verbosity (-v: cached steps and live logs)", "v"),
            _switch("web", "w", "Open trace URL in a web browser (not supported)"),
            _hidden(_text("workdir", env.get("DAGGER_WORKDIR", ""), "")),
            _hidden(_text("x-release", "", "")),
            _hidden(_text("dot-output", "", "")),
            _hidden(_switch("cloud", "", "")),
            _hidden(_switch("scale-out", "", "")),
            _hidden(_switch("help", "h", "")),
        ]
    )


def module_flags() -> FlagSet:
    """Make the flags of the commands that load a module."""
    return FlagSet(
        [
            _also("load-module", _text("mod", "", "Module to load: a local path (default: the one here)", "m")),
            _also("no-load-module", _switch("no-mod", "M", "Don't load a module (mutually exclusive with --mod)")),
            _text("workspace", "", "Folder to look for the module from, instead of the current directory", "W"),
            Flag("allow-llm", many("strings", split_csv, str), "Has no effect: the embedded engine has no LLM"),
            _switch("eager-runtime", "", "Has no effect: the module's runtime is always loaded"),
        ]
    )


def call_flags() -> FlagSet:
    """Make the flags of `call` and `core`."""
    return FlagSet(
        [
            _switch("json", "j", "Present result as JSON"),
            _text("output", "", "Save the result to a local file or directory", "o"),
            *module_flags(),
        ]
    )


@dataclass(frozen=True)
class Options:
    """What the global options say."""

    auto_apply: bool
    progress: str
    silent: bool
    quiet: int
    verbose: int
    workdir: str


def read_options(flags: FlagSet, env: Mapping[str, str]) -> Options:
    """Check the parsed global flags; raises UnsupportedError for what can't be had here."""
    for name in ("interactive", "web", "x-release", "dot-output", "cloud", "scale-out"):
        if flags[name].value.get():
            raise UnsupportedError(f"--{name}")
    lock: str = flags["lock"].value.get()
    if lock not in _LOCK_OFF:
        raise UnsupportedError(f"--lock {lock}")
    progress: str = flags["progress"].value.get()
    if progress == "auto":
        progress = env.get("DAGGER_PROGRESS") or "auto"
    if progress not in PROGRESS:
        raise EngineError(f'unknown progress type "{progress}": choose one of {", ".join(PROGRESS)}')
    return Options(
        auto_apply=flags["auto-apply"].value.get(),
        progress=progress,
        silent=flags["silent"].value.get(),
        quiet=flags["quiet"].value.get(),
        verbose=3 if flags["debug"].value.get() else flags["verbose"].value.get(),
        workdir=flags["workdir"].value.get(),
    )


def module_path(flags: FlagSet, command: str) -> Path | None:
    """Return the folder of the module that `--mod` or `--workspace` names, None where neither was given.

    Raises UnsupportedError for one on a Git host.
    """
    reference: str = flags["mod"].value.get()
    if not reference and flags["workspace"].changed:
        return _module_around(flags["workspace"].value.get())
    if reference and flags["no-mod"].value.get():
        raise UsageError("if any flags in the group [mod no-mod] are set none of the others can be", command)
    if not reference:
        return None
    path = Path(reference)
    if path.exists():
        return path
    _refuse_git("mod", reference)
    raise EngineError(f'module not found: no such folder "{reference}" for --mod')


def _module_around(reference: str) -> Path:
    folder = Path(reference)
    if not folder.is_dir():
        _refuse_git("workspace", reference)
        raise EngineError(f'no such folder "{reference}" for --workspace')
    for one in (folder, *folder.absolute().parents):
        if (one / "dagger.json").is_file():
            return one
    raise EngineError(f"no module found: there is no dagger.json in {reference} or above", "Name it with -m PATH.")


def _refuse_git(flag: str, reference: str) -> None:
    if "://" in reference or "@" in reference or reference.startswith("github.com/"):
        raise UnsupportedError(f"--{flag} {reference}: only a local path")


def _switch(name: str, short: str, usage: str, initial: bool = False) -> Flag:
    return Flag(name, scalar("", parse_bool, initial, bare="true"), usage, short)


def _text(name: str, initial: str, usage: str, short: str = "") -> Flag:
    return Flag(name, scalar("string", str, initial), usage, short, default=f'"{initial}"' if initial else "")


def _hidden(flag: Flag) -> Flag:
    flag.hidden = True
    return flag


def _also(name: str, flag: Flag) -> Flag:
    flag.also = name
    flag.usage += f"; also --{name}"
    return flag


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
