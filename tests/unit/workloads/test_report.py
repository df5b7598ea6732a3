"""How the report is shown: bundles and applications first, everything escaped, the same in all formats."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from ci.report.tables import Format
from ci.workloads.advise import advise
from ci.workloads.answers import parse_answers
from ci.workloads.changes import compare
from ci.workloads.find import find_workloads
from ci.workloads.report import Report, changes_as, report_as
from ci.workloads.verdict import judge
from tests.unit.workloads.charts import package, pods
from tests.unit.workloads.platform import KUBEOVN, v1
from tests.unit.workloads.test_verdict import answers, verdict


def report(files: dict[str, str] | None = None, *, lacking: tuple[str, ...] = (KUBEOVN,), title: str = "v9") -> Report:
    found = find_workloads(files or v1())
    known = answers(found, lacking=lacking)
    judged = judge(found, known, "arm64")
    return Report(checkout=title, verdict=judged, advice=advise(found, judged, known), answers=known)


def test_the_first_table_has_bundles_and_applications() -> None:
    text = report_as(report(), Format.TEXT)
    lines = [re.sub(r"\s{2,}", " | ", line.strip()) for line in text.splitlines()]
    assert lines[0] == "v9, on arm64 nodes"
    assert " ".join(lines[1:3]).startswith(
        "7 packages, 6 of them with images; 6 images run: 5 are there for arm64, 1 are not, 0 are"
    )
    table = lines.index("bundle | arm64")
    assert lines[table + 2 : table + 4] == ["paas | partly", "system/kubeovn (through networking): kubeovn:v1"]
    application = lines.index("application | by itself | arm64")
    assert lines[application + 2 : application + 4] == [
        "redis-application | yes | partly",
        "system/kubeovn (through networking): kubeovn:v1",
    ]
    assert table < application < lines.index("Images that are not there for arm64:")


def test_the_text_fits_a_window_of_80_columns_but_for_references() -> None:
    long = f"quay.io/{'x' * 90}:v1"
    files = {**v1(), **package("system/metallb", {"templates/d.yaml": pods(long)})}
    changes = compare(verdict(files), verdict(files, lacking=(long, KUBEOVN)))
    for text in (
        report_as(report(files, lacking=(long, KUBEOVN)), Format.TEXT),
        changes_as(changes, Format.TEXT, ("v1", "v2")),
    ):
        assert long in text  # in one piece, to be copied
        assert [line for line in text.splitlines() if len(line) > 80 and "x" * 90 not in line] == []


def test_each_no_has_its_place_and_what_to_do() -> None:
    text = report_as(report(), Format.TEXT)
    section = text[text.index("Images that are not there") :]
    assert section.splitlines()[1:4] == [
        KUBEOVN,
        "    it is there for linux/amd64; run by system/kubeovn",
        "    named in packages/system/kubeovn/templates/d.yaml:9 (template)",
    ]


def test_limits_are_said_in_every_format() -> None:
    made = report()
    for form in Format:
        assert "What is not seen" in report_as(made, form) or "limits" in report_as(made, form)


def test_json_and_yaml_say_the_same_and_have_the_answers() -> None:
    made = report()
    document = json.loads(report_as(made, Format.JSON))
    assert yaml.safe_load(report_as(made, Format.YAML)) == document
    assert document["counts"]["images"] == 6
    assert document["verdict"]["bundles"][0]["causes"] == [
        {"package": "system/kubeovn", "images": [KUBEOVN], "through": "cozystack.networking"}
    ]
    assert parse_answers(json.dumps(document)) == made.answers


def test_the_documentation_names_every_key_of_the_json() -> None:
    document = json.loads(report_as(report(), Format.JSON))
    page = (Path(__file__).parents[3] / "docs/workloads.md").read_text()
    section = page[page.index("## JSON and YAML") :]
    section = section[: section.index("\n## ", 1)]
    rows = {
        name for row in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE) for name in re.findall("`([^`]+)`", row)
    }
    assert {name.partition(".")[0] for name in rows if not name.startswith(".")} == set(document)
    verdict = {name.rpartition(".")[2] for name in rows if "." in name}
    assert verdict == set(document["verdict"])
    for inner in (document["verdict"]["images"][0], document["verdict"]["packages"][0], document["advice"][0]):
        assert [key for key in inner if f"`{key}`" not in section] == []


class Page(HTMLParser):
    """A page's elements, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_shows_what_the_text_shows() -> None:
    page = Page(report_as(report(), Format.HTML))
    assert page.open == []
    for shown in ("redis-application", KUBEOVN, "packages/system/kubeovn/templates/d.yaml:9"):
        assert shown in page.text


EVIL = "<script>alert(1)<br>\u202e\x1b[31m"


def test_nothing_of_a_checkout_or_a_registry_is_code_in_the_page_or_the_terminal() -> None:
    files = {
        **v1(),
        **package(f"system/{EVIL}", {f"templates/{EVIL}.yaml": pods("quay.io/x/y:1")}),
        **package("system/hole", {"templates/d.yaml": pods("'<script>alert(2)</script>{{ .Capabilities.x }}'")}),
    }
    made = report(files, lacking=(KUBEOVN, "quay.io/x/y:1"), title=EVIL)
    problems = dict.fromkeys(["quay.io/metallb/speaker:v1"], EVIL)
    made = made.model_copy(
        update={"remarks": (EVIL,), "answers": made.answers.model_copy(update={"problems": problems})}
    )
    page = report_as(made, Format.HTML)
    assert "<script>alert" not in page
    assert Page(page).open == []
    for form in Format:
        assert not {"\u202e", "\x1b"} & set(report_as(made, form))


def test_the_page_loads_nothing() -> None:
    page = report_as(report(), Format.HTML)
    assert "default-src &#39;none&#39;" in page
    assert set(re.findall(r"(?:src|href)=(\S+)", page)) == {'"data:,">'}


@pytest.mark.parametrize("form", Format)
def test_a_difference_is_shown_in_every_format(form: Format) -> None:
    changes = compare(verdict(v1()), verdict(v1(), lacking=(KUBEOVN,)))
    shown = changes_as(changes, form, ("v1", "v2"))
    assert "isp-full" in shown
    assert "kubeovn" in shown
    same = changes_as(compare(verdict(v1()), verdict(v1())), form, ("v1", "v2"))
    if form in (Format.TEXT, Format.HTML):
        assert "Nothing gained or lost arm64." in same
    else:
        assert yaml.safe_load(same)["lost"] is False
