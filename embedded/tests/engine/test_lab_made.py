"""What a call makes of the lab: what it needs, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from embedded import lab
from embedded.lab.builder import NoProgress
from embedded.lab.debian import ARCHITECTURES, FOREIGN, NATIVE
from embedded.lab.recipe import blobs_of
from embedded.tests.engine.calls import COLD_SECONDS, Calls
from embedded.tests.engine.publishing import VARIANTS

pytestmark = [pytest.mark.engine, pytest.mark.slow]

TOOLS = (
    "docker.io/library/python:3.13-slim-trixie",
    "docker.io/library/busybox:1.37.0-musl",
    "ghcr.io/siderolabs/imager:v1.13.6",
)
"""Images that steps run in: they have the machine's own architecture, and the imager what boots on either."""


@pytest.fixture(scope="module")
def fresh(calls: Calls) -> Path:
    """A lab that has what is dear and has nothing to do with an extension, Debian's parts, and nothing else."""
    own, shared = calls.cache / "lab", lab.builder()
    roots = [f"part/root/{name}/{NATIVE}" for name in ("python", "imager")]
    dear = shared.build([*roots, *(f"part/initramfs/{name}" for name in ARCHITECTURES)], NoProgress())
    own.unlink()
    for folder in ("stamps", "made", "registry/sha256"):
        (own / folder).mkdir(parents=True)
    for name, result in dear.items():
        file = name.replace("/", "+")
        shutil.copy(shared.stamp(name), own / "stamps")
        (own / "made" / file).symlink_to(result.folder)
        for blob in blobs_of(result.value):
            path = shared.blobs.path(blob.digest)
            (own / "registry/sha256" / path.name).symlink_to(path)
    return own


def test_a_build_makes_neither_an_extension_that_it_has_not_nor_the_other_architecture(
    calls: Calls, fresh: Path, tmp_path: Path
) -> None:
    before = {file.name for file in (fresh / "stamps").iterdir()}
    words = ("--variants", str(VARIANTS), "build", "--variant", "crun", "export", "--path", str(tmp_path))
    process = calls.start("--lab", "-s", "call", *words)
    _, err = process.communicate(timeout=COLD_SECONDS)
    assert process.returncode == 0, err
    made = {json.loads(file.read_text())["name"] for file in (fresh / "stamps").iterdir() if file.name not in before}
    assert {"part/checkout/v1.13.6", "part/layer/crun:1.28/arm64", *TOOLS} <= made
    assert not [name for name in made for other in ("spin", "tailscale", "youki") if other in name]
    of_tools = {recipe.name for recipe in lab.builder().closure(TOOLS)}
    # Of contents: an image whose name says that it is wrong is a list of them, of some hundred bytes.
    assert not [name for name in made - of_tools if name.startswith("part/") and "amd64" in name]
    assert not [name for name in made if name.startswith("part/layer/") and name.endswith("amd64")]
    assert f"part/root/debian/{FOREIGN}" not in made
