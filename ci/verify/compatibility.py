"""The version constraints of extension manifests, read as Talos reads them.

range      = conditions { " || " conditions }      any of them
conditions = condition { " " condition }           all of them
condition  = [ operator ] version                  blanks behind <, > and = do not count
operator   = "<" | "<=" | ">" | ">=" | "=" | "==" | "!=" | "!"
version    = [ "v" ] major "." minor "." patch [ "-" pre-release ] [ "+" build ], or with `x` for the last number

Talos takes the `v` away wherever a digit follows, has github.com/blang/semver (`ParseRange`) read the rest and compares
with its own version without the pre-release (pkg/machinery/extensions/validate.go). What that library does with odd
constraints is done here too: `1.x.x` means `>=1.0.0 <1.1.0`, a lone character between blanks is passed over.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING

from ci.common.errors import CozystackTalosError, OutputError
from ci.plan.quirks import quirks

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.plan.quirks import Quirks

Version = tuple[int, int, int]
#: A pre-release's parts, numbers before words; a version without one comes after all that have one.
_Order = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]

_OPERATORS: dict[str, Callable[[_Order, _Order], bool]] = {
    "": operator.eq,
    "=": operator.eq,
    "==": operator.eq,
    "!": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
#: Of a condition with a wildcard: the operators that it becomes, the last one with the next version where True.
_WILDCARDS: dict[str, tuple[tuple[str, ...], bool]] = {
    ">": ((">=",), True),
    ">=": ((">=",), False),
    "<": (("<",), False),
    "<=": (("<",), True),
    "": ((">=", "<"), True),
    "=": ((">=", "<"), True),
    "==": ((">=", "<"), True),
    "!": (("<", ">="), True),
    "!=": (("<", ">="), True),
}
_NUMBER = r"(0|[1-9][0-9]*)"
_PART = r"[0-9A-Za-z-]+"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-(?P<pre>{_PART}(?:\.{_PART})*))?(?:\+{_PART}(?:\.{_PART})*)?", re.ASCII
)
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)
#: Numbers of 64 bits, as Go's.
_LARGEST = 2**64 - 1


class ConstraintError(CozystackTalosError):
    """A constraint or version is not of the grammar above."""


def parse_version(text: str) -> Version:
    """Return major, minor and patch of a version like `v1.13.6` or `v1.14.0-rc.1`."""
    found = _VERSION.fullmatch(text.strip())
    if found is None:
        raise ConstraintError(f"{text!r} is no version: write it like v1.13.6")
    return int(found[1]), int(found[2]), int(found[3])


def quirks_of(talos: str | None) -> Quirks:
    """Return how the Talos version of assets behaves; of what is no version, as the newest one does."""
    try:
        return quirks(talos)
    except OutputError:
        return quirks(None)


def satisfies(constraint: str, version: str) -> bool:
    """Return whether a Talos version meets a constraint; an empty one is met by all."""
    major, minor, patch = parse_version(version)
    if not constraint:
        return True
    actual: _Order = (major, minor, patch, True, ())
    try:
        # All conditions are read before any counts: a senseless one is an error also behind one that is met.
        ranges = [[_condition(part) for part in parts] for parts in _ranges(constraint)]
    except ValueError as error:
        raise ConstraintError(
            f"{constraint!r} is no version constraint: write it like '>= v1.10.0 < v2.0.0' ({error})"
        ) from None
    return any(all(compare(actual, wanted) for compare, wanted in conditions) for conditions in ranges)


def _ranges(constraint: str) -> list[list[str]]:
    """Return the conditions between the `||`, wildcards replaced."""
    ranges: list[list[str]] = [[]]
    # Go counts bytes.
    text = constraint.encode().decode("latin-1")
    for part in _parts(re.sub("v(?=[0-9])", "", text)):
        if part == "||":
            ranges.append([])
        else:
            ranges[-1] += _without_wildcard(part)
    if not all(ranges):
        raise ValueError("there is nothing on one side of '||'" if len(ranges) > 1 else "it has no version")
    return ranges


def _parts(text: str) -> list[str]:
    """Split at blanks, but not behind an operator; a part of one character is passed over, as semver does."""
    parts: list[str] = []
    start, last = 0, ""
    for at, character in enumerate(text):
        if character != " ":
            last = character
        elif last not in ("<", ">", "="):
            parts += [text[start:at]] if start < at - 1 else []
            start = at + 1
    parts += [text[start:]] if start < len(text) - 1 else []
    return [part.replace(" ", "") for part in parts]


def _split(part: str) -> tuple[str, str]:
    at = next((at for at, character in enumerate(part) if character.isdecimal()), None)
    if at is None:
        raise ValueError(f"{part!r} has no version")
    return part[:at].strip(), part[at:]


def _without_wildcard(part: str) -> list[str]:
    if "x" not in part:
        return [part]
    sign, version = _split(part)
    numbers = version.split(".")
    lowest = version.replace(".x.x", ".x", 1).replace(".x", ".0", 1)
    if lowest.count(".") == 1:
        lowest += ".0"
    signs, is_next = _WILDCARDS.get(sign, (("",), False))
    last = lowest
    if is_next:
        # The wildcard's place follows from how many numbers are written.
        place = len(numbers) - 2 if numbers[-1] == "x" and len(numbers) in (2, 3) else None
        last = _incremented(lowest, place)
    return [sign + lowest for sign in signs[:-1]] + [signs[-1] + last]


def _incremented(version: str, place: int | None) -> str:
    numbers = version.split(".")
    if place is None or not re.fullmatch(r"[+-]?[0-9]+", numbers[place], re.ASCII):
        return ""
    return ".".join([*numbers[:place], str(int(numbers[place]) + 1), *numbers[place + 1 :]])


def _condition(part: str) -> tuple[Callable[[_Order, _Order], bool], _Order]:
    sign, version = _split(part)
    if sign not in _OPERATORS:
        raise ValueError(f"{sign!r} is no operator")
    return _OPERATORS[sign], _order(version)


def _order(version: str) -> _Order:
    found = _SEMVER.fullmatch(version)
    if found is None or any(int(number) > _LARGEST for number in found.groups()[:3]):
        raise ValueError(f"{version!r} is no version of three numbers")
    pre = found["pre"]
    parts: list[tuple[bool, int, str]] = []
    for part in pre.split(".") if pre else ():
        is_number = re.fullmatch("[0-9]+", part, re.ASCII) is not None
        if is_number and (part != str(int(part)) or int(part) > _LARGEST):
            raise ValueError(f"{version!r}: a pre-release's number begins with 0 or is too large")
        parts.append((not is_number, int(part) if is_number else 0, "" if is_number else part))
    return int(found[1]), int(found[2]), int(found[3]), not pre, tuple(parts)
