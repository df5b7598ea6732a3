"""Flags as `dagger` takes them: the grammar and the error texts of pflag, Go's POSIX-style flag library.

    --name=value   --name value   --bool   --bool=false   -x   -xyz   -o value   -ovalue   -o=value   --

Parsing can stop at the first word that is no flag (the next function's name), and can skip flags that it does not know
(a first pass for `--mod` and the like, before the module says which flags there are).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedded.cli.names import kebab

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from embedded.cli.values import Value


LAB_FIRST = "--lab goes first: ./daggerw --lab call ..."
"""It is daggerw's and no flag of a command: it decides what is set up."""


class FlagError(ValueError):
    """A command line that the flags do not allow."""


class UnknownFlagError(FlagError):
    """A flag that there is not; `value` is what stood behind its name, if anything did."""

    def __init__(self, name: str, value: str) -> None:
        super().__init__(f"unknown flag: --{name}" + (f"\n{LAB_FIRST}" if name == "lab" else ""))
        self.name = kebab(name)
        self.value = value


@dataclass
class Flag:
    """One flag: its names, what it takes and what the help says of it."""

    name: str
    value: Value
    usage: str = ""
    shorthand: str = ""
    default: str = ""
    required: bool = False
    hidden: bool = False
    changed: bool = False
    also: str = ""
    """Another name: Dagger 1.0's of a flag that 0.21 names otherwise."""

    def set(self, text: str) -> None:
        """Take a value from the command line; raises FlagError when it is none for this flag."""
        try:
            self.value.set(text)
        except ValueError as error:
            shown = f"-{self.shorthand}, --{self.name}" if self.shorthand else f"--{self.name}"
            raise FlagError(f'invalid argument "{text}" for "{shown}" flag: {error}') from None
        self.changed = True


class FlagSet:
    """The flags of one command, in any order; names are compared in kebab case."""

    def __init__(self, flags: Iterable[Flag] = ()) -> None:
        self._flags: dict[str, Flag] = {}
        self._short: dict[str, Flag] = {}
        self._others: dict[str, Flag] = {}
        for flag in flags:
            self.add(flag)

    def add(self, flag: Flag) -> None:
        """Add a flag unless the name is taken: a function's own flag hides the command's."""
        if flag.name in self._flags:
            return
        self._flags[flag.name] = flag
        if flag.also:
            self._others.setdefault(flag.also, flag)
        if flag.shorthand:
            self._short.setdefault(flag.shorthand, flag)

    def __iter__(self) -> Iterator[Flag]:
        return iter(self._flags.values())

    def __contains__(self, name: str) -> bool:
        return name in self._flags

    def __getitem__(self, name: str) -> Flag:
        return self._flags[name]

    def missing(self) -> list[str]:
        """Names of the required flags that were not given, sorted."""
        return sorted(flag.name for flag in self if flag.required and not flag.changed)

    def parse(self, args: list[str], *, interspersed: bool, skip_unknown: bool = False) -> list[str]:
        """Take the flags from `args` and return the other words.

        Not interspersed, parsing ends at the first word that is no flag; it and all after it are returned.
        """
        words: list[str] = []
        rest = list(args)
        while rest:
            arg = rest.pop(0)
            if len(arg) < 2 or not arg.startswith("-"):
                words.append(arg)
                if not interspersed:
                    break
            elif arg == "--":
                break
            elif arg.startswith("--"):
                self._long(arg[2:], rest, skip_unknown)
            else:
                self._shorts(arg[1:], rest, skip_unknown)
        return words + rest

    def _long(self, text: str, rest: list[str], skip_unknown: bool) -> None:
        given, equals, inline = text.partition("=")
        if not given or given.startswith("-"):
            raise FlagError(f"bad flag syntax: --{text}")
        flag = self._flags.get(kebab(given)) or self._others.get(kebab(given))
        if flag is None:
            if not skip_unknown:
                value = inline if equals else rest[0] if rest and not rest[0].startswith("-") else ""
                raise UnknownFlagError(given, value)
            if not equals:
                _drop_value(rest)
        elif equals:
            flag.set(inline)
        elif flag.value.bare is not None:
            flag.set(flag.value.bare)
        elif rest:
            flag.set(rest.pop(0))
        else:
            raise FlagError(f"flag needs an argument: --{given}")

    def _shorts(self, cluster: str, rest: list[str], skip_unknown: bool) -> None:
        left = cluster
        while left:
            letter, left = left[0], left[1:]
            flag = self._short.get(letter)
            if flag is None:
                if not skip_unknown:
                    raise FlagError(f"unknown shorthand flag: '{letter}' in -{cluster}")
                if left.startswith("="):
                    return
                if not left:
                    _drop_value(rest)
            elif left.startswith("="):
                flag.set(left[1:])
                return
            elif flag.value.bare is not None:
                flag.set(flag.value.bare)
            elif left:
                flag.set(left)
                return
            elif rest:
                flag.set(rest.pop(0))
            else:
                raise FlagError(f"flag needs an argument: '{letter}' in -{cluster}")


def _drop_value(rest: list[str]) -> None:
    """After an unknown flag: a following word may be its value."""
    if rest and not rest[0].startswith("-"):
        rest.pop(0)
