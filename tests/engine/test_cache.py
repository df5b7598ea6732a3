"""What runs again when something changes, from the engine's own list of steps: cached ones are not in it."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import COMMAND, TOP

if TYPE_CHECKING:
    from pathlib import Path

OUTPUTS = "kernel,initramfs"

#: The imager's runs for the initramfs of spin-only: the extensions that are packed together.
RUNS = (("bnx2-bnx2x",), ("intel-ice-firmware",), ("qlogic-firmware",), ("drbd", "zfs"), ("spin",))

#: Adds an extension to those of spin-only, in one version or another.
CHANGING = "description: for tests\nrole: worker\nextensions: {{add: [spin, 'youki:{version}']}}\n"
#: What is left out where the number of runs alone is looked at.
LEFT_OUT = ("bnx2-bnx2x", "intel-ice-firmware", "qlogic-firmware", "zfs")
#: Pack drbd, and these, which are small.
FEW = {"fewer": ("crun",), "more": ("crun", "youki")}

#: Requests to the engine of a build of two outputs with everything cached.
MOST_REQUESTS = 80

#: A command that was run, as `daggerw`'s plain progress has it.
_RAN = re.compile(r"^#\d+ exec (.*?)\s+\d+\.\ds$", re.MULTILINE)


class Builds:
    """Builds with a time of their own in all files, so that no build of others is of use to them."""

    def __init__(self) -> None:
        self._epoch = str(1_500_000_000 + secrets.randbelow(100_000_000))

    def run(self, variant: str, *flags: str | Path) -> list[str]:
        """Build a variant, and return the commands that were run for it."""
        return ran(self.said(variant, *flags))

    def said(self, variant: str, *flags: str | Path, aloud: tuple[str, ...] = (), requests: Path | None = None) -> str:
        """Build a variant, and return what was shown; the requests to the engine are added to a file."""
        words = [*(word for word in COMMAND if word != "-s"), "--progress", "plain", *aloud, "call", *map(str, flags)]
        words += ["--source-date-epoch", self._epoch, "build", "--variant", variant, "--outputs", OUTPUTS, "entries"]
        env = os.environ | ({"DAGGERW_REQUESTS": str(requests)} if requests else {})
        done = subprocess.run(words, cwd=TOP, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def _progress() -> None:
    if not COMMAND[0].endswith("daggerw"):
        pytest.skip("reads the progress of daggerw")


@pytest.fixture
def unused(_progress: None) -> Builds:
    return Builds()


@pytest.fixture(scope="module")
def builds(_progress: None) -> Builds:
    return Builds()


@pytest.fixture(scope="module")
def first(builds: Builds) -> str:
    """What is shown of a build of spin-only, before which there was none."""
    return builds.said("spin-only", aloud=("-vv",))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[str | Path, ...]:
    """The flags for two variants of small extensions."""
    folder = tmp_path_factory.mktemp("variants")
    dropped = ", ".join(f"{{name: {name}, reason: for tests}}" for name in LEFT_OUT)
    for name, added in FEW.items():
        extensions = f"{{add: [{', '.join(added)}], drop: [{dropped}]}}"
        (folder / f"{name}.yaml").write_text(f"description: for tests\nrole: worker\nextensions: {extensions}\n")
    return "--variants", folder


def ran(said: str) -> list[str]:
    """The commands that were run, in what was shown."""
    return [command.strip() for command in _RAN.findall(said)]


def packed(commands: list[str]) -> list[str]:
    """The extensions that were packed."""
    found = (re.match(r"tar --create --file=/out/(.*?)\.tar", command) for command in commands)
    return sorted(match[1] for match in found if match)


def imager_runs(commands: list[str]) -> int:
    return sum("imager" in command for command in commands)


def assembled(commands: list[str]) -> int:
    """How often an initramfs was put together."""
    return sum("normalise assemble" in command for command in commands)


def test_when_nothing_changed_nothing_runs_and_little_is_asked(builds: Builds, first: str, tmp_path: Path) -> None:
    assert imager_runs(ran(first)) == 1 + len(RUNS)  # and the kernel
    assert "spin" in packed(ran(first))
    requests = tmp_path / "requests"
    assert not ran(builds.said("spin-only", requests=requests))
    asked = [json.loads(line)["query"] for line in requests.read_text().splitlines()]
    assert len(asked) <= MOST_REQUESTS, "\n".join(asked)
    # Beside what the SDK asks of each call, nothing is asked twice.
    ours = [query for query in asked if "currentFunctionCall" not in query and "FunctionCallArgValue" not in query]
    assert len(set(ours)) == len(ours)


def test_the_imager_does_not_compress_at_length_what_is_compressed_anew(first: str) -> None:
    assert first.count("zstd at level 1") == len(RUNS)


@pytest.mark.usefixtures("first")
def test_a_second_variant_runs_what_it_adds(builds: Builds) -> None:
    second = builds.run("spin-tailscale")
    assert packed(second) == ["tailscale"]
    assert imager_runs(second) == 1
    assert assembled(second) == 1


@pytest.mark.usefixtures("first")
def test_a_changed_extension_runs_itself(builds: Builds, tmp_path: Path) -> None:
    for version in ("0.5.5", "0.6.0"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "changing.yaml").write_text(CHANGING.format(version=version))
        changed = builds.run("changing", "--variants", folder)
        assert packed(changed) == ["youki"]
        assert imager_runs(changed) == 1
        assert assembled(changed) == 1


def test_a_variant_with_less_runs_no_imager(unused: Builds, few: tuple[str | Path, ...]) -> None:
    assert packed(unused.run("more", *few)) == ["crun", "drbd", "youki"]
    second = unused.run("fewer", *few)
    assert packed(second) == []
    assert imager_runs(second) == 0
    assert assembled(second) == 1


def test_several_variants_in_one_call_share_what_they_have_in_common(
    unused: Builds, few: tuple[str | Path, ...]
) -> None:
    both = unused.run("fewer,more", *few)
    assert packed(both) == ["crun", "drbd", "youki"]
    assert imager_runs(both) == 1 + 3
    assert assembled(both) == 2
