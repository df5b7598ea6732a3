"""Which files of a checkout are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.common.errors import UpstreamError
from ci.workloads.checkout import packages_in, read_checkout

if TYPE_CHECKING:
    from pathlib import Path


def test_links_are_followed_within_the_checkout_and_not_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("no")
    top = tmp_path / "checkout"
    lib, app = top / "packages/library/lib", top / "packages/apps/a"
    for folder in (lib, app / "charts", app / "tests", top / "internal/manifests"):
        folder.mkdir(parents=True)
    (lib / "Chart.yaml").write_text("name: lib\n")
    (app / "Chart.yaml").write_text("name: a\n")
    (app / "tests/t.yaml").write_text("no")
    (app / "logo.svg").write_text("no")
    (top / "internal/manifests/m.yaml").write_text("m")
    (app / "charts/lib").symlink_to("../../../library/lib")
    (app / "manifests").symlink_to("../../../internal/manifests")
    (app / "out.yaml").symlink_to("../../../../secret.yaml")
    (app / "loop").symlink_to(".")
    files = read_checkout(top)
    assert sorted(files) == [
        "packages/apps/a/Chart.yaml",
        "packages/apps/a/charts/lib/Chart.yaml",
        "packages/apps/a/manifests/m.yaml",
        "packages/library/lib/Chart.yaml",
    ]
    assert packages_in(files) == ["apps/a"]


def test_a_folder_without_packages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match=r"^--upstream: no packages: a CozyStack checkout"):
        read_checkout(tmp_path)
