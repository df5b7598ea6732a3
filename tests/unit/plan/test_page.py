"""The tables in docs/outputs.md are those of the rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci.common.errors import UserError
from ci.common.kinds import OF_PLATFORMS
from ci.common.platforms import PLATFORMS
from ci.plan.outputs import FORMS
from ci.plan.page import BEGIN, END, main, render, written

PAGE = Path(__file__).parents[3] / "docs/outputs.md"


def test_the_page_has_the_tables_of_the_rows() -> None:
    page = PAGE.read_text()
    assert page == written(page), "write it anew: python -m ci.plan.page docs/outputs.md"


def test_every_platform_and_form_has_a_line() -> None:
    lines = render().splitlines()
    for name in (*PLATFORMS, *FORMS, *OF_PLATFORMS):
        assert sum(line.startswith(f"| `{name}` | ") for line in lines) == 1


def test_a_page_is_written_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}old\n{END}behind\n")
    assert main([str(page)]) == 0
    assert page.read_text() == f"before\n{render()}behind\n"
    assert main([]) == 0
    assert capsys.readouterr().out == render()


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(UserError, match="the page has no place for the tables"):
        written("nothing here\n")
