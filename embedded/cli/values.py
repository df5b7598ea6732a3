"""What a flag's text becomes: the value kinds of pflag and Dagger.

`get()` gives a value that goes into a GraphQL variable as it is, except for objects: their text is an address that the
session turns into an id.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
# Go's literals with base 0: decimal, 0x, 0o, 0b and the old octal with a leading 0, `_` between digits.
_INTEGER = re.compile(r"[+-]?(0[xX](_?[0-9a-fA-F])+|0[oO](_?[0-7])+|0[bB](_?[01])+|0(_?[0-7])*|[1-9](_?[0-9])*)")
_DECIMAL = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE)
_UNQUOTED = re.compile(r'[^",\n]*')
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


class Value:
    """A flag's value; `type_name` is what the help shows, `bare` what the flag means without a text."""

    def __init__(
        self, type_name: str, add: Callable[[Any, str], Any], initial: Any = None, bare: str | None = None
    ) -> None:
        self.type_name = type_name
        self.bare = bare
        self._add = add
        self._value = initial

    def set(self, text: str) -> None:
        """Take a text, or raise ValueError with the reason that a person sees."""
        self._value = self._add(self._value, text)

    def get(self) -> Any:
        """Give the value so far."""
        return self._value


def scalar(type_name: str, parse: Callable[[str], Any], initial: Any = None, bare: str | None = None) -> Value:
    """Make a value of which the last text given counts."""
    return Value(type_name, lambda _, text: parse(text), initial, bare)


def many(type_name: str, split: Callable[[str], list[str]], parse: Callable[[str], Any]) -> Value:
    """Make a list to which each text given adds."""
    return Value(type_name, lambda found, text: [*found, *(parse(part) for part in split(text))], [])


def count(initial: int = 0) -> Value:
    """Make a number that says how often the flag was given: `-vvv`."""
    return Value("count", lambda found, text: found + 1 if text == "+1" else parse_int(text), initial, bare="+1")


def parse_bool(text: str) -> bool:
    """Read a boolean in any of the forms that Dagger takes."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("allowed are true and false")


def parse_int(text: str) -> int:
    """Read a single integer: Go's literals, 64 bits."""
    if not _INTEGER.fullmatch(text):
        raise ValueError("not a whole number")
    digits = text.lstrip("+-")
    old_octal = re.fullmatch(r"0_?[0-7_]+", digits) is not None
    return _signed(text, int(digits.replace("_", ""), 8 if old_octal else 0))


def graphql_int(parse: Callable[[str], int]) -> Callable[[str], int]:
    """Make a parser of an integer that can be sent to the API: 32 bits."""

    def parse_narrow(text: str) -> int:
        number = parse(text)
        if not -(2**31) <= number < 2**31:
            raise ValueError(f"value out of range: allowed are {-(2**31)} to {2**31 - 1}")
        return number

    return parse_narrow


def parse_list_int(text: str) -> int:
    """Read an integer of a list: decimal only; the error is the one that was recorded of Dagger."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return _signed(text, int(text.lstrip("+-")))


def _signed(text: str, number: int) -> int:
    number = -number if text.startswith("-") else number
    if not -(2**63) <= number < 2**63:
        raise ValueError("out of range: it has 64 bits")
    return number


def parse_float(text: str) -> float:
    """Read a floating point number."""
    if not _FLOAT.fullmatch(text):
        raise ValueError("not a number")
    return float(text)


def parse_platform(text: str) -> str:
    """Read a platform; `current` is the machine's own."""
    if not text:
        raise ValueError("platform cannot be empty")
    return current_platform() if text == "current" else text


def parse_build_arg(text: str) -> dict[str, str]:
    """Read `name=value`."""
    name, equals, value = text.strip('"').partition("=")
    if not equals:
        raise ValueError(f"{text} must be formatted as name=value")
    if not name:
        raise ValueError(f"{text} cannot have an empty name")
    return {"name": name, "value": value}


def parse_port_forward(text: str) -> dict[str, int]:
    """Read `frontend:backend`."""
    front, colon, back = text.partition(":")
    if not colon:
        raise ValueError(f'portForward setting not in the form of frontend:backend: "{text}"')
    for side, port in (("frontend", front), ("backend", back)):
        if not _DECIMAL.fullmatch(port):
            raise ValueError(f'portForward {side} not a valid integer: "{port}"')
    return {"frontend": int(front), "backend": int(back)}


def parse_name(what: str) -> Callable[[str], str]:
    """Make a parser of a text that can't be empty."""

    def parse(text: str) -> str:
        if not text:
            raise ValueError(f"{what} cannot be empty")
        return text

    return parse


def parse_enum(members: Sequence[str]) -> Callable[[str], str]:
    """Make a parser of an enum's member names, in any case."""

    def parse(text: str) -> str:
        for member in members:
            if member.lower() == text.lower():
                return member
        raise ValueError(f"value should be one of {','.join(members)}")

    return parse


def split_commas(text: str) -> list[str]:
    """Cut a list of numbers."""
    return text.split(",")


def split_csv(text: str) -> list[str]:
    """Cut one CSV record as Go's encoding/csv reads it: what follows a line break is not read."""
    fields: list[str] = []
    position = 0
    while text:
        quoted = _QUOTED.match(text, position)
        if quoted:
            fields.append(quoted[1].replace('""', '"'))
            position = quoted.end()
        else:
            plain = _UNQUOTED.match(text, position)
            assert plain is not None  # it matches the empty text
            fields.append(plain[0])
            position = plain.end()
        following = text[position : position + 1]
        if following in ("", "\n"):
            break
        if following == '"' or (quoted and following != ","):
            raise ValueError('a value with quotation marks is quoted as a whole, each mark doubled: "say ""hi"""')
        position += 1
    return fields


def split_unquoted(text: str) -> list[str]:
    """Cut a list of values that never hold quotes: they are dropped, blanks around each value too."""
    return [part.strip() for part in split_csv(re.sub("[\"'`]", "", text))]


def current_platform() -> str:
    """The machine's own platform in the form `linux/amd64`."""
    import platform

    machine = platform.machine()
    return f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"
