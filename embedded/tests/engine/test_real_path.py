"""A build without --lab, of images that servers on this machine have under the real names."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded import lab
from embedded.lab.contents.extensions import of_release, profile_extensions
from embedded.lab.contents.releases import NEW
from embedded.tests.engine.calls import COLD_SECONDS, DAGGERW, Calls
from embedded.tests.engine.upstreams import ADDRESS, BUNDLE, Upstreams, serving

pytestmark = [pytest.mark.engine, pytest.mark.slow]

WORDS = ("-s", "call", "build", "--variant", "spin-only", "--outputs", "kernel,initramfs", "export", "--path")


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstreams]:
    """Servers with the images that a build of spin-only asks for, and with CozyStack's repository."""
    (spin,) = (one.reference for one in of_release(NEW) if one.manifest.name == "spin")
    wanted = [*lab.for_builds(), *(one.reference for one in profile_extensions(NEW)), spin]
    lab.ensure(wanted, architectures=["arm64"])
    folder = tmp_path_factory.mktemp("upstreams")
    repository = folder / "repositories/cozystack/cozystack.git"
    shutil.copytree(lab.checkout_path() / ".git", repository)
    with serving(folder, folder / "repositories") as upstreams:
        yield upstreams


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and "validation" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def build(calls: Calls, upstreams: Upstreams, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        upstreams.command(DAGGERW, *WORDS, out),
        env=environment(calls),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COLD_SECONDS,
        check=False,
    )


def environment(calls: Calls) -> dict[str, str]:
    return os.environ | {"DAGGERW_ENGINE": "embedded", "XDG_CACHE_HOME": str(calls.cache.parent)}


def test_without_the_lab_the_same_build_comes_from_the_real_names(
    calls: Calls, upstreams: Upstreams, tmp_path: Path
) -> None:
    made = {path.name for path in (lab.folder() / "stamps").iterdir()}
    done = build(calls, upstreams, tmp_path / "real")
    assert done.returncode == 0, done.stderr
    assert calls.place("real").state.exists()
    assert {path.name for path in (lab.folder() / "stamps").iterdir()} == made
    hosts = {line.split()[1].partition("/")[0] for line in upstreams.asked}
    assert {"ghcr.io", "registry-1.docker.io", "auth.docker.io", "github.com"} <= hosts
    assert any("/v2/siderolabs/imager/blobs/" in line for line in upstreams.asked)
    assert [line for line in upstreams.refused if "/manifests/" in line]

    # The names lead there in the namespace of that call only.
    assert ADDRESS not in Path("/etc/hosts").read_text()

    process = calls.start("--lab", *WORDS, str(tmp_path / "lab"))
    _, err = process.communicate(timeout=COLD_SECONDS)
    assert process.returncode == 0, err
    built = digests(tmp_path / "real")
    assert "assets/talos/arm64/boot/initramfs.xz" in built
    assert built == digests(tmp_path / "lab")


def test_a_server_that_is_not_trusted_is_refused(calls: Calls, upstreams: Upstreams, tmp_path: Path) -> None:
    shutil.copy(upstreams.folder / "hosts", tmp_path / "hosts")
    shutil.copy(BUNDLE, tmp_path / "bundle.crt")
    untrusted = Upstreams(tmp_path, upstreams.builder, upstreams.repositories)
    # The daemon of the calls before trusts them; a new one begins in the namespace of its call.
    subprocess.run([DAGGERW, "--engine", "stop"], env=environment(calls), check=True, capture_output=True)
    done = build(calls, untrusted, tmp_path / "out")
    assert done.returncode == 1
    assert "certificate" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
