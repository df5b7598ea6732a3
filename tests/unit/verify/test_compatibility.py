"""Constraints of extensions, as Talos reads them."""

from __future__ import annotations

import pytest

from ci.verify.compatibility import ConstraintError, parse_version, satisfies


@pytest.mark.parametrize(
    ("constraint", "version", "met"),
    [
        ("", "v1.13.6", True),
        (">= v1.0.0", "v1.13.6", True),
        (">= v1.13.6", "v1.13.6", True),
        ("> v1.13.6", "v1.13.6", False),
        (">=v1.14.0", "v1.13.6", False),
        ("< v1.13.0", "v1.13.6", False),
        (">= v1.10.0 < v1.13.0", "v1.11.3", True),
        (">= v1.10.0 < v1.13.0", "v1.13.0", False),
        ("< 1.10.0 || >= 1.13.0", "v1.13.6", True),
        ("< 1.10.0 || >= 1.13.0", "v1.11.3", False),
        ("= v1.13.6", "1.13.6", True),
        ("==1.13.6", "1.13.6", True),
        ("1.13.6", "1.13.6", True),
        ("!= v1.13.6", "v1.13.6", False),
        ("!1.13.5", "v1.13.6", True),
        # Talos compares without its own pre-release.
        (">= v1.14.0", "v1.14.0-rc.1", True),
        # 1.9 is less than 1.13 although the text is not.
        (">= v1.9.0", "v1.13.6", True),
        # A pre-release comes before its version; numbers in it come before words, and count as numbers.
        (">= v1.13.0-rc.1", "v1.13.0", True),
        ("< 1.13.0-rc.1", "v1.13.0-alpha.1", False),
        ("<= 1.13.0-alpha", "v1.13.0", False),
        ("= 1.13.6-beta.2", "v1.13.6-beta.2", False),
        ("1.13.6+talos", "v1.13.6", True),
        # Wildcards stand for the last number that is written.
        (">= 1.10.x", "v1.10.0", True),
        (">= 1.14.x", "v1.13.6", False),
        ("> 1.12.x", "v1.12.9", False),
        ("> 1.12.x", "v1.13.0", True),
        ("<= 1.13.x", "v1.13.6", True),
        ("<= 1.13.x", "v1.14.0", False),
        ("< 1.13.x", "v1.13.0", False),
        ("1.13.x", "v1.13.6", True),
        ("1.x", "v1.13.6", True),
        ("=1.x", "v2.0.0", False),
        ("!= 1.13.x", "v1.13.6", False),
        # Both halves have to hold, so nothing ever meets it.
        ("!1.12.x", "v1.13.6", False),
        ("\t1.13.6", "v1.13.6", True),
        ("v1.13.x || v1.14.x", "v1.14.2", True),
        # The library's own: three numbers, so the one before the last is counted up.
        ("1.x.x", "v1.0.9", True),
        ("1.x.x", "v1.13.6", False),
        # A lone operator between blanks is passed over.
        ("! 1.13.6", "v1.13.6", True),
        ("1 >= 1.13.6", "v1.13.6", True),
    ],
)
def test_constraint_is_met_as_talos_reads_it(constraint: str, version: str, met: bool) -> None:
    assert satisfies(constraint, version) is met


@pytest.mark.parametrize(
    "constraint",
    [
        *(
            "newest",
            ">= v1",
            "||",
            ">= 1.0.0 ||",
            "|| 1.0.0",
            "1.0.0 || || 1.2.0",
            "~> 1.2.3",
            ">= v1.0.0,",
            " ",
            "x",
            "v",
        ),
        *(">=1.0.0||<2.0.0", "= 01.2.3", "1.2.3-01", "1.2.3-", "1.2.3+", "1.2.3.x", ">= 1.0.0-x.", "<=1.0.0-linux"),
        *("1.2.99999999999999999999", "\u0661.\u0662.\u0663", "é 1.2.3", "1..x", ">"),
    ],
)
def test_constraint_that_is_none_is_refused(constraint: str) -> None:
    with pytest.raises(ConstraintError, match="no version constraint: write it like"):
        satisfies(constraint, "v1.13.6")


@pytest.mark.parametrize("version", ["", "v1.13", "latest", "v1.13.6.1"])
def test_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(ConstraintError, match="no version: write it like"):
        parse_version(version)
