"""Versions and version ranges, as the Talos imager reads them (github.com/blang/semver).

Grammar of a range: alternatives joined by `||`, each a list of conditions joined by blanks; a condition is an optional
comparator (`=`, `==`, `!=`, `!`, `>`, `>=`, `<`, `<=`) before MAJOR.MINOR.PATCH, `x` allowed for the last two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from .errors import ImagerError

Version = tuple[int, int, int]
Condition = Callable[[Version], bool]

_TOLERANT = re.compile(r"\s*v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?\s*")
_STRICT = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_WILDCARD = re.compile(r"(\d+)(?:\.(\d+))?(?:\.[xX*]){1,2}")
_V_BEFORE_DIGIT = re.compile(r"v(?=[0-9])")


def parse_tolerant(text: str) -> Version | None:
    """Returns major, minor and patch of `v1.13.6`, `1.13` or `v1.14.0-alpha.1`, None for anything else."""
    match = _TOLERANT.fullmatch(text)
    if match is None:
        return None
    major, minor, patch = (int(part or 0) for part in match.groups())
    return major, minor, patch


def dotted(version: Version) -> str:
    """Writes a version without a leading v."""
    return ".".join(str(part) for part in version)


def satisfies(version: Version, constraint: str) -> bool:
    """Tells whether a version lies in a range such as `>= v1.2.0`.

    Raises ImagerError with the parser's words when the range cannot be read.
    """
    text = _V_BEFORE_DIGIT.sub("", constraint)
    # "> = 1" and ">= 1" are the same: a comparator belongs to the next word.
    joined = re.sub(r"([<>=!])\s+", r"\1", text.strip())
    alternatives = [[_condition(word) for word in part.split()] for part in joined.split("||")]
    return any(all(holds(version) for holds in conditions) for conditions in alternatives)


def _condition(word: str) -> Condition:
    digit = re.search(r"[0-9]", word)
    if digit is None:
        raise ImagerError(f"Could not get version from string: {json.dumps(word)}")
    comparator, text = word[: digit.start()], word[digit.start() :]
    low, high = _span(text, word)
    conditions: dict[str, Condition] = {
        "": lambda version: low <= version < high,
        "=": lambda version: low <= version < high,
        "==": lambda version: low <= version < high,
        "!=": lambda version: not low <= version < high,
        "!": lambda version: not low <= version < high,
        ">": lambda version: version >= high,
        ">=": lambda version: version >= low,
        "<": lambda version: version < low,
        "<=": lambda version: version < high,
    }
    if comparator not in conditions:
        raise ImagerError(f"Could not parse comparator {json.dumps(comparator)} in {json.dumps(word)}")
    return conditions[comparator]


def _span(text: str, word: str) -> tuple[Version, Version]:
    """Returns the first version that `1.2.3`, `1.2.x` or `1.x` names and the first one beyond."""
    if (match := _STRICT.fullmatch(text)) is not None:
        major, minor, patch = (int(part) for part in match.groups())
        return (major, minor, patch), (major, minor, patch + 1)
    if (match := _WILDCARD.fullmatch(text)) is not None:
        major = int(match[1])
        if match[2] is None:
            return (major, 0, 0), (major + 1, 0, 0)
        return (major, int(match[2]), 0), (major, int(match[2]) + 1, 0)
    raise ImagerError(
        f"Could not parse version {json.dumps(text)} in {json.dumps(word)}: No Major.Minor.Patch elements found"
    )
