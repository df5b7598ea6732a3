"""What Helm made of charts, next to what their text says: recorded output of `helm template`, written by hand."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from ci.common.errors import UpstreamError
from ci.execute import commands
from ci.steps import workloads
from ci.workloads.find import find_workloads
from ci.workloads.model import How, Package, Workloads
from ci.workloads.rendered import Rendering, read_rendered, with_rendered
from tests.unit.workloads.charts import package, pods

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = "# a comment\nkind: Deployment\nspec:\n  image: {{ unheardOf .Values }}\n"


def rendered(files: dict[str, str], text: str = "", problem: str | None = None) -> Package:
    found = with_rendered(find_workloads(files), {"system/a": Rendering(text, problem)}, files)
    return found.packages[0]


def printed(image: str, template: str = "d") -> str:
    return f"---\n# Source: cozy-a/templates/{template}.yaml\n{pods(image, name='a-it')}"


def test_a_rendered_image_has_the_template_and_its_line() -> None:
    files = package("system/a", {"templates/d.yaml": TEMPLATE})
    (image,) = rendered(files, printed("quay.io/x/y:1")).images
    assert (image.reference, image.runs) == ("quay.io/x/y:1", True)
    (place,) = image.places
    assert (place.file, place.line, place.how) == ("packages/system/a/templates/d.yaml", 4, How.RENDERED)
    assert [(one.kind, one.name) for one in image.workloads] == [("Deployment", "a-it")]


def test_what_both_sources_find_has_both_places() -> None:
    files = package("system/a", {"templates/d.yaml": pods("quay.io/x/y:1")})
    (image,) = rendered(files, printed("quay.io/x/y:1")).images
    assert [(place.line, place.how) for place in image.places] == [(9, How.RENDERED), (9, How.TEMPLATE)]


def test_what_helm_does_not_make_is_named_only_but_for_lists_and_plain_files() -> None:
    files = package(
        "system/a",
        {
            "templates/d.yaml": pods("quay.io/x/y:1"),
            "templates/e.yaml": pods("quay.io/x/off:1"),
            "images/z.tag": "quay.io/x/z:1\n",
            "files/m.yaml": pods("quay.io/x/m:1"),
        },
    )
    found = rendered(files, printed("quay.io/x/y:1"))
    assert {image.reference: image.runs for image in found.images} == {
        "quay.io/x/m:1": True,
        "quay.io/x/off:1": False,
        "quay.io/x/y:1": True,
        "quay.io/x/z:1": True,
    }
    assert found.unresolved == ()


def test_a_chart_that_helm_refuses_keeps_what_its_text_says() -> None:
    files = package("system/a", {"templates/d.yaml": pods("quay.io/x/y:1")})
    found = rendered(files, problem="provider is required")
    assert ([image.reference for image in found.images], found.not_rendered) == (
        ["quay.io/x/y:1"],
        "provider is required",
    )


def test_the_folder_of_a_render_is_read(tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "system/a.yaml").write_text(printed("quay.io/x/y:1"))
    (tmp_path / "system/b.err").write_text("level=WARN\nError: execution error: no provider\n\nUse --debug flag\n")
    found = read_rendered(tmp_path)
    assert found["system/b"] == Rendering(problem="execution error: no provider")
    assert "quay.io/x/y:1" in found["system/a"].text


def test_a_folder_without_a_render_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match=r"^--rendered: nothing rendered"):
        read_rendered(tmp_path)


def checkout(tmp_path: Path) -> Path:
    top = tmp_path / "checkout"
    for name, text in package("system/a", {"templates/d.yaml": TEMPLATE}).items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


def test_the_program_writes_what_it_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "rendered/system"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text(printed("quay.io/x/y:1"))
    command = commands.find_workloads(str(checkout(tmp_path)), "v1", str(folder.parent))
    assert command[:3] == ["python", "-m", "ci.steps.workloads"]
    assert workloads.main(command[3:]) == 0
    found = Workloads.model_validate_json(capsys.readouterr().out)
    assert [image.reference for image in found.packages[0].images] == ["quay.io/x/y:1"]


def test_the_program_says_which_checkout_has_no_packages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert workloads.main([str(tmp_path), "--name", "v1"]) == 2
    assert capsys.readouterr().err.startswith("error: v1: no packages")


HELM = """#!/bin/sh
case "$*" in
  "template a packages/system/a --namespace tenant-root --values "*) cat "$7" ;;
  "template tenant-root packages/apps/tenant "*) echo tenant ;;
  *) echo "Error: $2 refused" >&2; exit 1 ;;
esac
"""


def test_every_chart_is_rendered_by_itself_and_a_refused_one_leaves_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = checkout(tmp_path)
    for name in ("apps/tenant", "apps/other"):
        (top / "packages" / name).mkdir(parents=True)
        (top / "packages" / name / "Chart.yaml").write_text("name: x\n")
    (tmp_path / "helm").write_text(HELM)
    (tmp_path / "helm").chmod(0o755)
    (tmp_path / "values").write_text("values\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    out = tmp_path / "out"
    subprocess.run(commands.helm_templates(str(top), str(tmp_path / "values"), str(out)), check=True)
    found = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*.*")}
    assert found == {
        "apps/other.err": "Error: other-anyname refused\n",
        "apps/tenant.yaml": "tenant\n",
        "system/a.yaml": "values\n",
    }
