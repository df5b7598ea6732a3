"""The page of requirements: written from the requirements, and true of what each check looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.common.paths import TOP
from ci.verify.model import Part
from ci.verify.page import looks_at, main, render
from ci.verify.verify import PARTS_OF, REQUIREMENTS, verify
from tests.unit.verify.assets import expectation_of, files_of, good, write

if TYPE_CHECKING:
    from pathlib import Path

PAGE = TOP / "docs/checks.md"
GOOD = good()
KINDS = {kind: path for path, kind in (expectation_of(GOOD).files or {}).items()}


def test_the_page_is_what_the_requirements_say() -> None:
    """If not: `python -m ci.verify.page docs/checks.md`."""
    assert PAGE.read_text() == render()


def test_the_page_is_written_by_its_command(tmp_path: Path) -> None:
    assert main([str(tmp_path / "checks.md")]) == 0
    assert (tmp_path / "checks.md").read_text() == render()


def test_every_kind_is_in_the_table() -> None:
    assert set(KINDS) == set(PARTS_OF)


@pytest.mark.parametrize("kind", sorted(PARTS_OF))
def test_what_a_check_looks_at_is_what_the_table_says(tmp_path: Path, kind: str) -> None:
    write(tmp_path, {KINDS[kind]: files_of(GOOD)[KINDS[kind]]})
    result = verify(tmp_path, expectation_of(GOOD).model_copy(update={"files": None}))
    for requirement, check in zip(REQUIREMENTS, result.checks, strict=True):
        if requirement.parts == (Part.MENU,) and kind == "disk":
            continue  # This one starts with systemd-boot, without a menu.
        had_nothing = check.status != "pass" and any(
            line.startswith(f"there is no {' and no '.join(requirement.parts)}") for line in check.evidence
        )
        assert had_nothing is not looks_at(requirement, kind), (kind, check)


def test_every_requirement_says_what_it_looks_at() -> None:
    assert [one.id for one in REQUIREMENTS if not one.parts] == []
