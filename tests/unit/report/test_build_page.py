"""`validation/build-report.html`: what the page of a build says, and that nothing in it is more than text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from ci.boot.model import BootVerdict, Outcome, Stage, StageTime
from ci.boot.ways import Way
from ci.common.arch import Arch
from ci.common.filenames import REPORT, REPORT_PAGE, SBOM
from ci.plan.model import Plan
from ci.report.pages import origins, treemap
from ci.report.pages.bill import make_bill
from ci.report.pages.build_page import build_page
from ci.report.pages.templating import render_page
from ci.report.seal import seal
from ci.verify.assets import read_assets
from ci.verify.model import Check
from ci.verify.reported import parse_report
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File
from tests.unit.verify.assets import Extension, build, expectation_of, files_of, good, plan_of, planned_output, write

if TYPE_CHECKING:
    from pathlib import Path

    from ci.verify.assets import Assets

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}</style>\x1b[31m\u202egnp"

#: Elements without an end.
VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """A page's elements and texts; an element that is closed in the wrong place is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.ids: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.ids += [value or "" for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += "" if tag in ("b", "code", "span", "a", "text", "strong") else " "

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def checked(text: str) -> Page:
    """Return a page, after what holds for every page."""
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    for tag, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on") or key == "style"], tag
        for key in ("href", "src", "xlink:href", "action"):
            value = attributes.get(key)
            assert value is None or not re.match(r"(?!data:,$)[a-z]+:|//", value), (tag, value)
    assert [tag for tag, _ in page.elements if tag in ("img", "iframe", "object", "form", "base")] == []
    assert len([tag for tag, _ in page.elements if tag == "script"]) == 1
    targets = [attributes["href"] or "" for tag, attributes in page.elements if tag == "a"]
    assert {target[1:] for target in targets if target.startswith("#")} <= set(page.ids)
    assert not any(ord(character) < 32 and character != "\n" for character in text)
    assert "\u202e" not in text
    return page


def planned() -> dict[str, Any]:
    """Return a plan of the assets, its outputs where a build has them."""
    places = {"kernel": ("none", "boot/vmlinuz"), "initramfs": ("built", "boot/initramfs.xz")}
    places["installer"] = ("ready", "installer/installer-arm64.tar")
    outputs = [planned_output(name, initramfs) | {"path": path} for name, (initramfs, path) in places.items()]
    outputs[-1] |= {"baseInstaller": True}
    return plan_of(good()) | {"outputs": outputs}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    write(tmp_path, files_of(good()))
    seal(tmp_path, expectation_of(good()), Plan.model_validate(planned()))
    return tmp_path


def text_of(root: Path) -> str:
    return (root / REPORT_PAGE).read_text(encoding="utf-8")


def test_page_says_what_was_built_and_what_each_file_is_for(built: Path) -> None:
    words = checked(text_of(built)).words
    assert "spin-only for arm64, Talos v1.13.6" in words
    assert "Talos v1.13.6, Linux 6.18.38-talos" in words
    assert "STAND-IN" not in words
    for file in json.loads((built / REPORT).read_text())["files"]:
        assert file["path"] in words
        assert file["sha256"] in words
    assert words.count("sha256sum --check checksums.sha256") == 1  # the list of checksums is not in itself
    assert "crane push installer/installer-arm64.tar REGISTRY/talos:spin-only-v1.13.6-v1.6.2" in words
    assert "cp boot/vmlinuz /var/lib/matchbox/assets/vmlinuz" in words


def test_page_names_extensions_with_reasons_digests_and_what_was_left_out(built: Path) -> None:
    words = checked(text_of(built)).words
    assert "spin v0.21.0 why spin is there (from catalog)" in words
    assert f"ghcr.io/siderolabs/spin:v0.21.0@sha256:{10:064x}" in words
    assert "not stated by the extension" in words
    assert "i915 for amd64 only (by architecture)" in words


def test_failed_checks_come_first_are_open_and_have_their_evidence(tmp_path: Path) -> None:
    build(tmp_path, good(), expectation_of(good("spin-tailscale")))
    page = checked(text_of(tmp_path))
    checks = [attributes for tag, attributes in page.elements if tag == "details" and "data-status" in attributes]
    assert [one["data-status"] for one in checks][:2] == ["fail", "skip"]
    assert [one["data-status"] for one in checks if "open" in one] == ["fail"]
    assert "tailscale" in page.words.partition("FAILED")[2][:300]


def test_stand_ins_are_named_above_everything_else(tmp_path: Path) -> None:
    write(tmp_path, {"STAND-IN.txt": b"made from stand-ins\n"})
    build(tmp_path, good(), expectation_of(good()).model_copy(update={"stand_in": True}))
    words = checked(text_of(tmp_path)).words
    assert words.index("STAND-IN made from the lab's stand-in images") < words.index("Talos v1.13.6,")


def test_boots_are_shown_as_timelines(tmp_path: Path) -> None:
    reached = {Stage.KERNEL: 1.0, Stage.INIT: 4.0, Stage.READY: None}
    verdict = BootVerdict(
        variant="spin-only",
        arch=Arch.ARM64,
        way=Way.UKI,
        outcome=Outcome.BOOTED,
        seconds=8.0,
        machine="QEMU",
        stages=tuple(StageTime(stage=stage, seconds=seconds) for stage, seconds in reached.items()),
        extensions=(),
        checks=(),
    )
    written = {**verdict.model_dump(mode="json"), "more": 1}
    write(tmp_path, {"validation/boot-uki.json": json.dumps(written).encode(), "validation/boot-iso.json": b"{}"})
    build(tmp_path, good())
    text = text_of(tmp_path)
    assert "from uki: booted, 8.0 s" in checked(text).words
    assert re.findall(r'<rect class="bar" x="([\d.]+)" y="\d+" width="([\d.]+)"', text) == [
        ("90.0", "25.0"),
        ("115.0", "75.0"),
    ]


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    pages: list[str] = []
    for name in ("one", "other"):
        build(tmp_path / name, good())
        pages.append(text_of(tmp_path / name))
    assert pages[0] == pages[1]
    assert str(tmp_path) not in pages[0]


def test_hostile_names_versions_and_reasons_are_shown_as_text(tmp_path: Path) -> None:
    spec = good()
    files = [*spec.extensions[0].files, File(f"usr/share/{HOSTILE.replace('/', '')}", b"x" * 5000)]
    spec.extensions[0] = Extension("spin", HOSTILE, files)
    write(tmp_path, files_of(spec))
    document: dict[str, Any] = plan_of(spec) | {"description": HOSTILE, "role": HOSTILE}
    document["extensions"][0] |= {"version": HOSTILE, "reason": HOSTILE}
    document["dropped"][0] |= {"name": HOSTILE, "reason": HOSTILE}
    document["origin"] |= {"where": HOSTILE}
    plan = Plan.model_validate(document)
    seal(tmp_path, expectation_of(spec), plan)
    text = text_of(tmp_path)
    page = checked(text)
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "\\x1b[31m\\u202egnp" in page.text
    assert "49" not in re.findall(r">(\d+)<", text)
    assert "alert(1)" not in text.partition("<style>")[2].partition("</style>")[0]


def test_policy_names_the_style_and_the_script_and_lets_nothing_else_in(built: Path) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text_of(built))
    assert policy
    assert policy[1].startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert "unsafe" not in policy[1]


def large() -> treemap.Part:
    """Return what takes the space of a build with more extensions than CozyStack has, each with more files."""

    def part(name: str, files: int, size: float) -> treemap.Part:
        shares = [size / files * (1 + n % 7) / 4 for n in range(files)]
        path = "usr/lib/modules/6.18.38-talos/kernel/drivers/net/ethernet"
        return treemap.Part(
            name, sum(shares), tuple(treemap.Part(f"{path}/{n}.ko", one) for n, one in enumerate(shares))
        )

    parts = [treemap.Part("kernel", 2e7), part("Talos's base", 5000, 7e7)]
    parts += [part(f"extension number-{n}", 400, 5e6) for n in range(35)]
    return treemap.Part("all", sum(one.size for one in parts), tuple(parts))


def test_page_of_a_large_build_stays_below_a_megabyte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many parts as a real build has, and many more."""

    def space(_: Assets) -> treemap.Part:
        return large()

    monkeypatch.setattr(treemap, "space", space)
    build(tmp_path, good())
    assets, report = read_assets(tmp_path), parse_report((tmp_path / REPORT).read_text(), REPORT)
    long = "x" * 300
    checks = tuple(
        Check(id=f"a.{n}", sentence="It is so.", status="pass", evidence=(f"a line of evidence {long}",) * 5000)
        for n in range(45)
    )
    document = json.loads((tmp_path / SBOM).read_text())
    owner = next(one["SPDXID"] for one in document["packages"] if one["name"] == "talos")
    for n in range(9000):
        package = {"SPDXID": f"SPDXRef-{n}", "name": f"github.com/example/module-{n}", "versionInfo": "v1.2.3"}
        document["packages"].append(package | {"licenseDeclared": "Apache-2.0"})
        document["relationships"].append(
            {"spdxElementId": owner, "relationshipType": "CONTAINS", "relatedSpdxElement": f"SPDXRef-{n}"}
        )
    page = build_page(
        report.model_copy(update={"checks": checks}), Plan.model_validate(plan_of(good())), assets, document
    )
    checked(page)
    assert len(page.encode()) < 1_000_000
    assert "more packages are in sbom.spdx.json" in page


def test_licences_are_those_of_the_parts_that_an_extension_has() -> None:
    def package(number: int, name: str, licence: str = "NOASSERTION") -> dict[str, Any]:
        return {"SPDXID": f"SPDXRef-{number}", "name": name, "licenseDeclared": licence}

    def holds(one: str, other: int) -> dict[str, Any]:
        return {"spdxElementId": one, "relationshipType": "CONTAINS", "relatedSpdxElement": f"SPDXRef-{other}"}

    root = "SPDXRef-Package-assets"
    bill = make_bill(
        {
            "packages": [
                {"SPDXID": root, "name": "assets"},
                *(package(1, "spin"), package(2, "shim", "Apache-2.0"), package(3, "lib", "MIT"), package(4, "talos")),
                package(5, "alone", "BSD-3-Clause"),
            ],
            "relationships": [
                holds(root, 1),
                holds("SPDXRef-1", 2),
                holds("SPDXRef-2", 3),
                holds("SPDXRef-3", 1),
                holds(root, 4),
            ],
        }
    )
    assert bill.licences == {"spin": ("Apache-2.0", "MIT"), "": ("BSD-3-Clause",)}
    assert [(one.owner, one.name) for one in bill.packages] == [
        ("", "alone"), ("spin", "lib"), ("spin", "shim"), ("spin", "spin"), ("talos", "talos"),
    ]  # fmt: skip


# --- the picture of what takes the space -----------------------------------------------------------------------------


def test_what_takes_space_is_kernel_base_and_extensions_down_to_their_files(built: Path) -> None:
    assets = read_assets(built)
    whole = treemap.space(assets)
    assert whole
    names = {part.name for part in whole.parts}
    assert names == {
        "kernel", "Talos's base", "extension spin", "extension drbd", "index of kernel modules", "init and firmware",
    }  # fmt: skip
    initramfs = assets.initramfs[0].facts
    assert whole.size == pytest.approx(assets.kernels[0].node.size + sum(frame.size for frame in initramfs.frames))
    spin = next(part for part in whole.parts if part.name == "extension spin")
    assert {part.name for part in spin.parts} == {
        "usr/local/bin/containerd-shim-spin-v2",
        "etc/cri/conf.d/10-spin.part",
    }
    assert sum(part.size for part in spin.parts) == pytest.approx(spin.size)


@pytest.mark.parametrize("sizes", [[5.0], [6, 6, 4, 3, 2, 2, 1], [1e9, 1, 1e-6], [1.0] * 100, [0.0, 3.0]])
def test_rectangles_are_as_large_as_what_they_stand_for_and_do_not_overlap(sizes: list[float]) -> None:
    parts = tuple(treemap.Part(f"part {n}", size) for n, size in enumerate(sizes))
    found = treemap.boxes(treemap.Part("all", sum(sizes), parts))
    assert len(found) == sum(size > 0 for size in sizes)
    whole = treemap.WIDE.width * treemap.WIDE.height
    for box in found:
        assert 0 <= box.x <= box.x + box.width <= treemap.WIDE.width + 0.2
        assert 0 <= box.y <= box.y + box.height <= treemap.WIDE.height + 0.2
        assert box.width * box.height == pytest.approx(whole * box.size / sum(sizes), rel=0.02, abs=80)
    for one in found:
        for other in found:
            apart = min(one.x + one.width, other.x + other.width) - max(one.x, other.x) <= 0.2
            apart = apart or min(one.y + one.height, other.y + other.height) - max(one.y, other.y) <= 0.2
            assert one is other or apart


def test_small_files_are_summed_up_and_nothing_is_lost() -> None:
    files = tuple(treemap.Part(f"usr/lib/{n}", 100.0 - n / 100) for n in range(5000))
    size = sum(file.size for file in files)
    parts = tuple(treemap.Part(f"extension {n}", size, files) for n in range(100))
    whole = treemap.Part("all", 100 * size, parts)
    found = treemap.boxes(whole)
    assert len(found) < 5000
    rest = treemap.largest(parts[0])
    assert len(rest) == 13
    assert sum(part.size for part in rest) == pytest.approx(size)
    assert rest[-1].name == "4988 smaller files"


def test_picture_of_origins_joins_extensions_with_the_initramfs_and_that_with_the_outputs() -> None:
    plan = Plan.model_validate(planned())
    picture = origins.picture(plan)
    names = [node.name for node in picture.nodes]
    assert {"imager", "initramfs", "spin v0.21.0"} <= set(names)
    assert names.count("installer base") == 1
    assert all(node.y >= 0 and node.y + node.height <= picture.height for node in picture.nodes)
    assert all(node.x >= 0 and node.x + node.width <= origins.WIDTH for node in picture.nodes)


def test_a_name_that_a_template_does_not_get_is_an_error() -> None:
    with pytest.raises(Exception, match="undefined"):
        render_page("build.html", title="x", stand_in="")


def test_page_of_a_kernel_alone_has_no_extensions_and_no_sbom_of_them(tmp_path: Path) -> None:
    plan = planned() | {"outputs": planned()["outputs"][:1]}
    write(tmp_path, {"boot/vmlinuz": samples.kernel()})
    expected = expectation_of(good()).model_copy(update={"files": {"boot/vmlinuz": "kernel"}})
    seal(tmp_path, expected, Plan.model_validate(plan))
    page = checked(text_of(tmp_path))
    assert "extensions" not in page.ids
    assert "why spin is there" not in page.words
