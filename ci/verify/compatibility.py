"""The version constraints of extension manifests.

range      = conditions { "||" conditions }        any of them
conditions = condition { " " condition }           all of them
condition  = [ operator ] [ " " ] [ "v" ] major "." minor "." patch
operator   = "<" | "<=" | ">" | ">=" | "=" | "==" | "!=" | "!"

Talos reads them with github.com/blang/semver (`ParseRange`), any `v` before a digit taken away, and compares with its
own version without the pre-release (pkg/machinery/extensions/validate.go).
"""

from __future__ import annotations

import operator
import re

from ci.common.errors import CozystackTalosError

_OPERATORS = {
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
_CONDITION = re.compile(r"(==|=|!=|!|<=|<|>=|>|)\s*v?(\d+)\.(\d+)\.(\d+)(?:\s+|$)")
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")

Version = tuple[int, int, int]


class ConstraintError(CozystackTalosError):
    """A constraint or version is not of the grammar above."""


def parse_version(text: str) -> Version:
    """Returns major, minor and patch of a version like `v1.13.6` or `v1.14.0-rc.1`."""
    found = _VERSION.fullmatch(text.strip())
    if found is None:
        raise ConstraintError(f"{text!r} is no version: write it like v1.13.6")
    return int(found[1]), int(found[2]), int(found[3])


def satisfies(constraint: str, version: str) -> bool:
    """Returns whether a Talos version meets a constraint; an empty one is met by all."""
    actual = parse_version(version)
    if not constraint.strip():
        return True
    # All parts are read before any counts: a senseless one is an error also behind one that is met.
    met = [_all(part, actual, constraint) for part in constraint.split("||")]
    return any(met)


def _all(conditions: str, actual: Version, constraint: str) -> bool:
    rest, met = conditions.strip(), True
    while True:
        found = _CONDITION.match(rest)
        if found is None:
            raise ConstraintError(f"{constraint!r} is no version constraint: write it like '>= v1.10.0 < v2.0.0'")
        met = met and bool(_OPERATORS[found[1]](actual, (int(found[2]), int(found[3]), int(found[4]))))
        rest = rest[found.end() :]
        if not rest:
            return met
