"""The pages in a real browser: what works, what they ask for, how they read on a telephone, for everybody, on paper."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pages.browser import Browser
from tests.pages.samples import make_pages

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("report", "difference", "site", "site difference", "workloads", "workloads difference")
#: Set: pictures of the pages are written into this folder.
PICTURES = os.environ.get("PAGES_PICTURES")


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


def shown(browser: Browser, group: str) -> int:
    return browser.run(f"[...document.querySelectorAll('[data-group={group}]')].filter(one => one.offsetParent).length")


def choose(browser: Browser, group: str, key: str, value: str) -> None:
    browser.run(
        f"(() => {{ const one = document.querySelector('select[data-filter={group}][data-key={key}]');"
        f"one.value = {json.dumps(value)}; one.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"
    )


def search(browser: Browser, group: str, text: str) -> None:
    browser.run(f"document.querySelector('input[data-filter={group}]').value = ''")
    browser.run(f"document.querySelector('input[data-filter={group}]').focus()")
    browser.call("Input.insertText", text=text)


@pytest.mark.parametrize("name", NAMES)
def test_page_has_no_errors_and_no_request_leaves_it(browser: Browser, pages: dict[str, Path], name: str) -> None:
    browser.open(pages[name].as_uri())
    time.sleep(0.2)
    browser.run("1")
    assert browser.complaints == []
    assert {url.partition("?")[0] for url in browser.requests if not url.startswith("data:")} == {pages[name].as_uri()}
    assert browser.run("document.querySelectorAll('img, iframe, object, embed').length") == 0
    assert browser.run("document.scripts.length") == 1


@pytest.mark.parametrize("name", NAMES)
def test_page_reads_on_a_telephone_without_sideways_scrolling(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    browser.open(pages[name].as_uri(), width=360, height=740)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.run("innerWidth") == 360
    assert browser.run("document.documentElement.scrollWidth") <= 360
    wide = "[...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > 361).length"
    assert browser.run(wide) == 0
    controls = "[...document.querySelectorAll('input, select')].map(one => one.getBoundingClientRect().right)"
    assert max([0, *browser.run(controls)]) <= 344.5


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_page_has_contrast_landmarks_and_names(browser: Browser, pages: dict[str, Path], name: str, dark: bool) -> None:
    browser.open(pages[name].as_uri(), dark=dark)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    ink = browser.run("getComputedStyle(document.body).color")
    assert (ink == "rgb(230, 237, 243)") is dark
    assert browser.barriers() == []


def test_axe_finds_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    """Else a page without barriers would say nothing."""
    (tmp_path / "bad.html").write_text("<html><body><p style='color: #ccc'>faint</p><input></body></html>")
    browser.open((tmp_path / "bad.html").as_uri())
    found = " ".join(browser.barriers())
    assert "color-contrast" in found
    assert "label" in found


@pytest.mark.parametrize("width", [360, 700, 1200])
def test_words_in_pictures_can_be_read(browser: Browser, pages: dict[str, Path], width: int) -> None:
    """A picture that is drawn smaller makes its words smaller."""
    browser.open(pages["report"].as_uri(), width=width)
    sizes = browser.run(
        "[...document.querySelectorAll('svg text')].map(one => parseFloat(getComputedStyle(one).fontSize)"
        " * one.ownerSVGElement.getBoundingClientRect().width / one.ownerSVGElement.viewBox.baseVal.width)"
        ".filter(one => one > 0)"
    )
    assert len(sizes) > 10
    assert min(sizes) >= 8
    assert max(sizes) <= 24
    maps = "[...document.querySelectorAll('svg.map')].filter(one => one.getBoundingClientRect().width > 0)"
    assert browser.run(f"{maps}.length") == 1
    drawn = f"{maps}[0].getBoundingClientRect().width / {maps}[0].viewBox.baseVal.width"
    assert browser.run(drawn) > 0.8


def test_report_can_be_searched_and_filtered(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["report"].as_uri())
    everything = shown(browser, "sbom")
    assert everything > 3
    search(browser, "sbom", "LINUX")
    assert 0 < shown(browser, "sbom") < everything
    assert browser.run("document.querySelector('[data-count=sbom]').textContent") == f"1 of {everything} shown"
    search(browser, "sbom", "")
    checks = shown(browser, "checks")
    choose(browser, "checks", "status", "fail")
    assert 0 < shown(browser, "checks") < checks
    choose(browser, "checks", "status", "")
    assert shown(browser, "checks") == checks


def test_site_shows_the_way_for_what_was_chosen(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["site"].as_uri())
    first = shown(browser, "ways")
    assert first > 3
    seen = "[...document.querySelectorAll('[data-group=ways] h3')].filter(one => one.offsetParent)"
    titles = f"{seen}.map(one => one.textContent)"
    assert all("spin-only, arm64" in title for title in browser.run(titles))
    following = (
        "[...document.querySelectorAll('[data-follows=ways]')].filter(one => one.offsetParent)"
        ".map(one => one.textContent).join()"
    )
    assert "report on spin-only for arm64" in browser.run(following)
    assert "cosign verify" in browser.run(following)
    assert "spin-tailscale" not in browser.run(following)
    choose(browser, "ways", "variant", "1")
    assert shown(browser, "ways") == 0
    assert browser.run("document.querySelector('[data-count=ways]').textContent").startswith("nothing fits")
    choose(browser, "ways", "arch", "amd64")
    assert all("spin-tailscale, amd64" in title for title in browser.run(titles))
    choose(browser, "ways", "way", "0")
    assert browser.run(titles) == ["Netboot: spin-tailscale, amd64"]
    assert "spin-tailscale: node.yaml" in browser.run(following)
    assert "spin-only" not in browser.run(following)


def test_difference_can_be_filtered(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["difference"].as_uri())
    everything = shown(browser, "changes")
    choose(browser, "changes", "kind", "added")
    assert 0 < shown(browser, "changes") < everything


@pytest.mark.parametrize("name", NAMES)
def test_hostile_text_is_text(browser: Browser, pages: dict[str, Path], name: str) -> None:
    """No markup came of it, and what is said to be hostile is seen as it is written."""
    browser.open(pages[name].as_uri())
    assert "<script>alert(1)</script>" in browser.run("document.body.innerText")
    assert browser.run("[...document.querySelectorAll('*')].some(one => one.hasAttribute('onerror'))") is False
    assert browser.run("/[\\u202e\\x1b]/.test(document.documentElement.outerHTML)") is False


def test_what_would_slip_through_is_not_run(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    text = (
        pages["report"]
        .read_text()
        .replace("<main>", "<main><script>window.hostile = 1</script><img src=x onerror='window.hostile = 1'>")
    )
    (tmp_path / "page.html").write_text(text)
    browser.open((tmp_path / "page.html").as_uri())
    time.sleep(0.2)
    assert browser.run("window.hostile") is None
    assert any("Content Security Policy" in line for line in browser.complaints)


@pytest.mark.parametrize("name", NAMES)
def test_page_prints_without_its_controls(browser: Browser, pages: dict[str, Path], name: str) -> None:
    browser.open(pages[name].as_uri(), dark=True)
    browser.media("dark", "print")
    assert browser.run("[...document.querySelectorAll('.controls')].filter(one => one.offsetParent).length") == 0
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(browser.call("Page.printToPDF")["data"]) > 1000
    # On white paper a rectangle is seen by its line.
    lines = browser.run("[...document.querySelectorAll('.map rect, .rail')].map(one => getComputedStyle(one).stroke)")
    assert {"none", "rgb(255, 255, 255)"}.isdisjoint(lines)


@pytest.mark.skipif(not PICTURES, reason="PAGES_PICTURES names no folder")
def test_pictures(browser: Browser, tmp_path: Path) -> None:
    """Of the samples; the report is that of the build which PAGES_BUILT names, if it names one."""
    pages = make_pages(tmp_path, hostile=False)
    report = Path(os.environ.get("PAGES_BUILT") or pages["report"])
    shots = {"report": report, "space": report, "difference": pages["difference"], "site": pages["site"]}
    for name, page in shots.items():
        browser.open(page.resolve().as_uri(), width=900, height=1000, dark=name in ("difference", "space"))
        if name == "space":
            browser.run("document.getElementById('space').scrollIntoView()")
        (Path(PICTURES or ".") / f"{name}.png").write_bytes(browser.picture())
