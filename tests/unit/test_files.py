"""Which files reach what: of a checkout the module, of this project the module and the unit tests.

What does not reach a step can't make it run again.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ci.args import TEST_IGNORE, UPSTREAM_IGNORE
from tests.unit.cozystack import RELEASES, checkout
from tests.unit.patterns import included, kept

TOP = Path(__file__).parents[2]

INCLUDE: list[str] = json.loads((TOP / "dagger.json").read_text())["include"]


@pytest.mark.parametrize(
    ("pattern", "fitting"),
    [
        ("*", ["a", "a/b", "a/b/c", ".x"]),
        ("a", ["a", "a/b", "a/b/c"]),
        ("a/*", ["a/b", "a/b/c"]),
        ("**/c", ["a/b/c"]),
        ("**", ["a", "a/b", "a/b/c", ".x"]),
        ("?", ["a", "a/b", "a/b/c"]),
    ],
)
def test_a_pattern_fits_a_path_and_all_below(pattern: str, fitting: list[str]) -> None:
    assert included(["a", "a/b", "a/b/c", ".x"], [pattern]) == fitting


def test_the_last_pattern_decides() -> None:
    assert kept(["a/b", "a/c", "d"], ["*", "!a", "a/c"]) == ["a/b"]


@pytest.mark.parametrize("tag", RELEASES)
def test_all_that_is_read_of_a_release_is_kept(tag: str) -> None:
    files = checkout(tag)
    assert kept(files, UPSTREAM_IGNORE) == [path for path in files if path != "README.md"]


def test_nothing_else_of_a_checkout_is_read() -> None:
    """Else a commit to anything in CozyStack would be another upload, and a private file in the engine's cache."""
    read = [
        ".git/HEAD",
        ".git/objects/pack/pack-1.pack",
        ".git/packed-refs",
        ".git/refs/heads/main",
        ".git/shallow",
        "packages/core/installer/images/talos/profiles/iso.yaml",
        "packages/core/talos/images/matchbox/Dockerfile",
    ]
    not_read = [
        ".git/config",
        ".git/hooks/pre-commit",
        ".git/index",
        ".git/logs/HEAD",
        "Makefile",
        "hack/packages/core/talos/images/talos/profiles/iso.yaml",
        "packages/apps/kubernetes/images/talos/Dockerfile",
        "packages/core/installer/Makefile",
        "packages/core/platform/images/migrations/Dockerfile",
        "packages/core/talos/Makefile",
        "secrets.yaml",
    ]
    assert kept([*read, *not_read], UPSTREAM_IGNORE) == read


OF_THE_MODULE = ["pyproject.toml", "ci/main.py", "ci/inspect/cpio.py", "variants/spin-only.yaml"]
OF_THE_TESTS = [
    *("tests/conftest.py", "tests/unit/data/plan.txt", "deploy/renovate.json", "README.md", "docs/variants.md"),
    *("dagger.json", ".github/workflows/test.yml"),
]
OTHERS = [
    ".ci/run",
    ".git/HEAD",
    "CHANGELOG.md",
    "LICENSE",
    "bench/ci/main.py",
    "ci/__pycache__/main.cpython-311.pyc",
    "daggerw",
    "embedded/engine/ci/main.py",
    "embedded/pyproject.toml",
]


def test_the_module_is_its_code_and_its_variants() -> None:
    """A changed word in a test, the README or a page does not load the module anew."""
    assert included([*OF_THE_MODULE, *OF_THE_TESTS, *OTHERS], INCLUDE) == OF_THE_MODULE


def test_the_unit_tests_get_what_they_read() -> None:
    assert kept([*OF_THE_MODULE, *OF_THE_TESTS, *OTHERS], TEST_IGNORE) == [*OF_THE_MODULE, *OF_THE_TESTS]


def test_every_file_that_the_module_needs_exists() -> None:
    assert [path for path in [*OF_THE_MODULE, *OF_THE_TESTS] if not (TOP / path).is_file()] == []
