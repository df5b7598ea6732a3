"""What containers install: this project's own pins."""

from __future__ import annotations

import re
import tomllib

import pytest

from ci.common import pins
from ci.execute.pip import PYPROJECT, requirements

TEXT = PYPROJECT.read_text()


def lines(text: str) -> list[str]:
    assert text.endswith("\n")
    return text.splitlines()


def test_containers_get_the_dependencies_without_the_dagger_client() -> None:
    assert lines(requirements(TEXT).requirements) == [
        "anyio", "dulwich", "jinja2", "pefile", "pycdlib", "pydantic", "pyyaml", "rich", "zstandard",
    ]  # fmt: skip


def test_the_unit_tests_get_what_they_need_beside_them() -> None:
    plain, test = (set(lines(requirements(TEXT, extra=extra).requirements)) for extra in (None, "test"))
    assert test - plain == {"dagger-io==0.21.8", "hypothesis", "pytest", "pytest-asyncio", "pytest-xdist", "spdx-tools"}
    assert plain < test


def test_all_versions_come_from_the_constraints() -> None:
    constraints = lines(requirements(TEXT).constraints)
    assert [line for line in constraints if not re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line)] == []
    names = {line.partition("==")[0] for line in constraints}
    wanted = lines(requirements(TEXT, extra="test").requirements)
    assert [name for name in wanted if name.partition("==")[0] not in names | {"dagger-io"}] == []


def test_dagger_io_has_no_version_where_the_engine_brings_its_own() -> None:
    project = tomllib.loads(TEXT)["project"]
    assert "dagger-io" in project["dependencies"]
    assert "dagger-io" not in requirements(TEXT).constraints


def test_the_module_itself_runs_in_the_one_python_image_that_is_pinned() -> None:
    """Else Dagger's runtime makes an image name of `requires-python`: another one, of the oldest Python."""
    assert tomllib.loads(TEXT)["tool"]["dagger"]["base-image"] == pins.PYTHON


def test_the_order_in_the_file_does_not_matter() -> None:
    """Else a line that moves would install everything again."""
    head = "[project]\ndependencies = [{0}]\n[tool.uv]\nconstraint-dependencies = [{1}]\n"
    one = requirements(head.format('"b", "a", "dagger-io"', '"b==1", "a==1"'))
    two = requirements(head.format('"a", "b"', '"a==1", "b==1"'))
    assert one == two
    assert (one.requirements, one.constraints) == ("a\nb\n", "a==1\nb==1\n")


def test_an_extra_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError, match="docs"):
        requirements(TEXT, extra="docs")
