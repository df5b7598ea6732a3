"""A release's site as a user makes it: what is in it, what changed since the release before, how a browser shows it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from ci.common.filenames import REPORT, REPORT_PAGE
from tests.engine.conftest import OUTPUTS
from tests.pages.browser import Browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engine.built import Built
    from tests.engine.conftest import Call

ARCHIVES = "https://github.com/example/talos/releases/download/v2"
ADDRESS = "registry.example.com/talos"
FOLDER = "spin-only/arm64"
PAGES = ("index.html", f"{FOLDER}/difference.html", f"{FOLDER}/{REPORT_PAGE}")
#: Bytes of a page.
LARGEST = 1_000_000


@pytest.fixture(scope="module")
def site(call: Call, spin_only: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose files are in archives, after a release with an older Spin; of assets that were built before."""
    folder = tmp_path_factory.mktemp("release")
    report = json.loads((spin_only.root / REPORT).read_text())
    for one in report["extensions"]:
        one["version"] = "v0.1.0" if one["name"] == "spin" else one["version"]
    (before := folder / f"before/{FOLDER}/{REPORT}").parent.mkdir(parents=True)
    before.write_text(json.dumps(report))
    (folder / "key.pem").write_text("-----BEGIN PUBLIC KEY-----\n")
    done = call(
        *("site", "--variants", "spin-only", "--outputs", OUTPUTS, "--address", ADDRESS, "--archives", ARCHIVES),
        *("--before", folder / "before", "--cosign-key", folder / "key.pem", "export", "--path", folder / "site"),
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


def test_a_site_with_archives_has_pages_and_checksums_and_no_assets(site: Path) -> None:
    found = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    validation = {path for path in found if "/validation/" in path}
    configuration = {path for path in found if "/machine-config/" in path}
    assert found - validation - configuration == {
        "cosign.pub", "index.html", "latest.json", f"{FOLDER}/checksums.sha256", f"{FOLDER}/difference.html",
    }  # fmt: skip
    assert {f"{FOLDER}/{REPORT}", f"{FOLDER}/{REPORT_PAGE}"} <= validation
    assert "spin-only/machine-config/node.yaml" in configuration
    assert (site / "cosign.pub").read_text().startswith("-----BEGIN PUBLIC KEY-----")


def test_programs_get_versions_checksums_and_the_installer_by_digest(site: Path, spin_only: Built) -> None:
    latest = json.loads((site / "latest.json").read_text())
    (build,) = latest["builds"]
    assert (latest["standIn"], latest["archives"], build["folder"]) == (True, ARCHIVES, None)
    assert re.fullmatch(rf"{ADDRESS}/talos:spin-only-v1\.13\.6-[0-9a-f]+@sha256:[0-9a-f]{{64}}", build["installer"])
    listed = {f"{file['sha256']}  {file['path']}" for file in build["files"]}
    sums = (spin_only.root / "checksums.sha256").read_text().splitlines()
    assert listed == {line for line in sums if "  validation/" not in line}
    installed = (site / "spin-only/machine-config/node.yaml").read_text()
    assert build["installer"] in installed


def test_the_page_leads_from_the_archive_to_a_node(site: Path) -> None:
    page = (site / "index.html").read_text()
    for said in (
        f"curl --fail --location --remote-name {ARCHIVES}/spin-only.tar\n",
        "sha256sum --check --ignore-missing checksums.sha256\n",
        "cd assets/talos/arm64\n",
        "cosign verify --key cosign.pub --insecure-ignore-tlog registry.example.com/talos/talos:spin-only-",
        f'href="{FOLDER}/difference.html"',
        f'href="{FOLDER}/{REPORT_PAGE}"',
    ):
        assert said in page, said
    assert "extension spin: changed" in (site / FOLDER / "difference.html").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_pages_of_a_real_build_read_well(browser: Browser, site: Path, name: str) -> None:
    assert (site / name).stat().st_size < LARGEST
    for dark in (False, True):
        browser.open((site / name).as_uri(), width=360, height=740, dark=dark)
        browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert browser.barriers() == []
    assert browser.run("document.documentElement.scrollWidth") <= 360
    assert browser.complaints == []
    assert {url for url in browser.requests if not url.startswith("data:")} == {(site / name).as_uri()}
