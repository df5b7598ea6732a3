"""A build without --lab, of images that servers on this machine have under the real names.

Python and busybox are named by their published digests, which no stand-in has: what builds here is a copy of this
checkout in which those two pins are the digests of the lab's images. Nothing else differs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded import lab
from embedded.lab import published
from embedded.lab.contents.extensions import profile_extensions
from embedded.lab.contents.releases import NEW
from embedded.setup.paths import EMBEDDED
from embedded.tests.engine.calls import COLD_SECONDS, DAGGERW, WARM_SECONDS, Calls
from embedded.tests.engine.publishing import VARIANT, VARIANTS
from embedded.tests.engine.upstreams import ADDRESS, BUNDLE, NAMES, Upstreams, serving

pytestmark = [pytest.mark.engine, pytest.mark.slow]

TOP = EMBEDDED.parent

CALL = ("-s", "call", "--variants", str(VARIANTS))
WORDS = (*CALL, "build", "--variant", VARIANT, "--outputs", "kernel,initramfs", "export", "--path")
PINNED = (published.PYTHON, published.BUSYBOX)
#: Requests to github.com of a call that has everything in its cache: one look-up of a tag.
MOST_OF_GITHUB = 4
NAMED_IN = ("ci/common/pins.py", "pyproject.toml")


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstreams]:
    """Servers with the images that a build asks for, and with CozyStack's repository."""
    wanted = [*lab.for_builds(), *(one.reference for one in profile_extensions(NEW))]
    lab.ensure(wanted, architectures=["arm64"])
    folder = tmp_path_factory.mktemp("upstreams")
    repository = folder / "repositories/cozystack/cozystack.git"
    shutil.copytree(lab.checkout_path() / ".git", repository)
    with serving(folder, folder / "repositories") as upstreams:
        yield upstreams


@pytest.fixture(scope="module")
def checkout(upstreams: Upstreams, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout whose pins of Python and busybox are the lab's digests."""
    copy = tmp_path_factory.mktemp("checkout") / "cozystack-talos"
    shutil.copytree(TOP, copy, symlinks=True, ignore=shutil.ignore_patterns(".git", "__pycache__", ".venv", ".*_cache"))
    made = upstreams.builder.made()
    for name in NAMED_IN:
        text = (copy / name).read_text()
        for reference in PINNED:
            digest = made[published.tagged(reference)].value["image"]["digest"]
            text = text.replace(reference, f"{published.tagged(reference)}@{digest}")
        (copy / name).write_text(text)
    return copy


#: Files that name where the checkout came from: a repository's tag there, a folder here.
OF_ORIGIN = {"checksums.sha256", "provenance.json", "build-report.html", "build-report.json", "build-report.txt"}


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in OF_ORIGIN)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def build(unused: Calls, upstreams: Upstreams, checkout: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        upstreams.command(checkout / "daggerw", *WORDS, out),
        cwd=checkout,
        env=environment(unused),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COLD_SECONDS,
        check=False,
    )


def environment(unused: Calls) -> dict[str, str]:
    return os.environ | {"DAGGERW_ENGINE": "embedded", "XDG_CACHE_HOME": str(unused.cache.parent)}


def stamps() -> set[str]:
    return {path.name for path in (lab.folder() / "stamps").iterdir()}


def test_without_the_lab_the_same_build_comes_from_the_real_names(
    unused: Calls, upstreams: Upstreams, checkout: Path, tmp_path: Path
) -> None:
    for reference in PINNED:
        assert all(reference.partition("@")[2] not in (checkout / name).read_text() for name in NAMED_IN)
    made = stamps()
    done = build(unused, upstreams, checkout, tmp_path / "real")
    assert done.returncode == 0, done.stderr
    assert unused.place("real").state.exists()
    assert not unused.place("lab").state.exists()
    assert stamps() == made
    hosts = {line.split()[1].partition("/")[0] for line in upstreams.asked}
    assert {"ghcr.io", "registry-1.docker.io", "auth.docker.io", "github.com"} <= hosts <= set(NAMES)
    assert any("/v2/siderolabs/imager/blobs/" in line for line in upstreams.asked)
    assert [line for line in upstreams.refused if "/manifests/" in line]

    # The names lead there in the namespace of that call only.
    assert ADDRESS not in Path("/etc/hosts").read_text()

    # With --lab it is this checkout itself that builds, in the machine's own engine.
    process = subprocess.run(
        [DAGGERW, "--lab", *WORDS, tmp_path / "lab"],
        cwd=TOP,
        env=os.environ | {"DAGGERW_ENGINE": "embedded"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COLD_SECONDS,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    built = digests(tmp_path / "real")
    assert {"assets/talos/arm64/boot/initramfs.xz", "assets/talos/arm64/validation/sbom.spdx.json"} <= set(built)
    assert built == digests(tmp_path / "lab")


def test_a_call_with_everything_cached_asks_little_of_the_repository(
    unused: Calls, upstreams: Upstreams, checkout: Path, tmp_path: Path
) -> None:
    first = build(unused, upstreams, checkout, tmp_path / "first")
    assert first.returncode == 0, first.stderr
    upstreams.asked.clear()
    again = build(unused, upstreams, checkout, tmp_path / "again")
    assert again.returncode == 0, again.stderr
    assert digests(tmp_path / "first") == digests(tmp_path / "again")
    asked = upstreams.asked_of("github.com")
    assert 0 < len(asked) <= MOST_OF_GITHUB, asked
    # Nothing that is named by its digest is fetched again.
    assert not [line for line in upstreams.asked if "/blobs/" in line]


def test_a_server_that_is_not_trusted_is_refused(
    unused: Calls, upstreams: Upstreams, checkout: Path, tmp_path: Path
) -> None:
    shutil.copy(upstreams.folder / "hosts", tmp_path / "hosts")
    shutil.copy(BUNDLE, tmp_path / "bundle.crt")
    untrusted = Upstreams(tmp_path, upstreams.builder, upstreams.repositories)
    # The daemon of the calls before trusts them; a new one begins in the namespace of its call.
    command = [DAGGERW, "--engine", "stop"]
    subprocess.run(command, env=environment(unused), check=True, capture_output=True, timeout=WARM_SECONDS)
    done = build(unused, untrusted, checkout, tmp_path / "out")
    assert done.returncode == 1
    assert "certificate" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
