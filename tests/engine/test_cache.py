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
VARIANT = "description: for tests\nrole: worker\nextensions: {{add: [spin, 'youki:{version}']}}\n"

#: The imager's runs for the initramfs of spin-only: the extensions that are packed together.
RUNS = (("bnx2-bnx2x",), ("intel-ice-firmware",), ("qlogic-firmware",), ("drbd", "zfs"), ("spin",))

#: Requests to the engine of a build of two outputs with everything cached.
MOST_REQUESTS = 80

#: A command that was run, as `daggerw`'s plain progress has it.
_RAN = re.compile(r"^#\d+ exec (.*?)\s+\d+\.\ds$", re.MULTILINE)


class Builds:
    """Builds with a time of their own in all files, so that no earlier build is of use to them."""

    def __init__(self) -> None:
        self._epoch = str(1_500_000_000 + secrets.randbelow(100_000_000))

    def run(self, variant: str, *flags: str | Path) -> list[str]:
        """Build a variant, and return the commands that were run for it."""
        return [command.strip() for command in _RAN.findall(self.said(variant, *flags))]

    def said(self, variant: str, *flags: str | Path, aloud: tuple[str, ...] = (), requests: Path | None = None) -> str:
        """Build a variant, and return what was shown; the requests to the engine are added to a file."""
        words = [*(word for word in COMMAND if word != "-s"), "--progress", "plain", *aloud, "call", *map(str, flags)]
        words += ["--source-date-epoch", self._epoch, "build", "--variant", variant, "--outputs", OUTPUTS, "entries"]
        env = os.environ | ({"DAGGERW_REQUESTS": str(requests)} if requests else {})
        done = subprocess.run(words, cwd=TOP, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr


@pytest.fixture
def builds() -> Builds:
    if not COMMAND[0].endswith("daggerw"):
        pytest.skip("reads the progress of daggerw")
    return Builds()


def packed(commands: list[str]) -> list[str]:
    """The extensions that were packed."""
    found = (re.match(r"tar --create --file=/out/(.*?)\.tar", command) for command in commands)
    return sorted(match[1] for match in found if match)


def imager_runs(commands: list[str]) -> int:
    return sum("imager" in command for command in commands)


def assembled(commands: list[str]) -> int:
    """How often an initramfs was put together."""
    return sum("normalise assemble" in command for command in commands)


def test_when_nothing_changed_nothing_runs_and_little_is_asked(builds: Builds, tmp_path: Path) -> None:
    first = builds.run("spin-only")
    assert imager_runs(first) == 1 + len(RUNS)  # and the kernel
    assert "spin" in packed(first)
    requests = tmp_path / "requests"
    assert not _RAN.findall(builds.said("spin-only", requests=requests))
    asked = [json.loads(line)["query"] for line in requests.read_text().splitlines()]
    assert len(asked) <= MOST_REQUESTS, "\n".join(asked)
    # Beside what the SDK asks of each call, nothing is asked twice.
    ours = [query for query in asked if "currentFunctionCall" not in query and "FunctionCallArgValue" not in query]
    assert len(set(ours)) == len(ours)


def test_a_second_variant_runs_what_it_adds(builds: Builds) -> None:
    builds.run("spin-only")
    second = builds.run("spin-tailscale")
    assert packed(second) == ["tailscale"]
    assert imager_runs(second) == 1
    assert assembled(second) == 1


def test_a_variant_with_less_runs_no_imager(builds: Builds) -> None:
    builds.run("spin-tailscale")
    second = builds.run("spin-only")
    assert packed(second) == []
    assert imager_runs(second) == 0
    assert assembled(second) == 1


def test_several_variants_in_one_call_share_what_they_have_in_common(builds: Builds) -> None:
    both = builds.run("spin-only,spin-tailscale")
    assert imager_runs(both) == 1 + len(RUNS) + 1
    assert assembled(both) == 2


def test_a_changed_extension_runs_itself(builds: Builds, tmp_path: Path) -> None:
    ran: dict[str, list[str]] = {}
    for version in ("0.5.5", "0.6.0"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "changing.yaml").write_text(VARIANT.format(version=version))
        ran[version] = builds.run("changing", "--variants", folder)
    assert imager_runs(ran["0.5.5"]) == 1 + len(RUNS) + 1
    assert packed(ran["0.6.0"]) == ["youki"]
    assert imager_runs(ran["0.6.0"]) == 1


def test_the_imager_does_not_compress_at_length_what_is_compressed_anew(builds: Builds) -> None:
    said = builds.said("spin-only", aloud=("-vv",))
    assert said.count("zstd at level 1") == len(RUNS)
