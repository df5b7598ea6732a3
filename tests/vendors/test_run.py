"""What the vendors' files call, run for real: each distinct call once, through `daggerw`, against the lab.

The files are rendered first: for a checkout of this project, and for a user's own repository.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci.load.variant import load_variants
from ci.upkeep.description import DESCRIPTION, parse_description
from ci.upkeep.files import Arguments, files, make_settings
from ci.upkeep.render import render_files
from ci.upkeep.vendors import VENDORS
from tests.unit.cozystack import checkout
from tests.unit.upkeep.ci_scripts import dagger_calls, run, scripts

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

TOP = Path(__file__).parents[2]

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def daggerw(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Call this checkout's module from another folder, whatever module is named."""
    at = words.index("call") + 1
    rest = words[at + 2 :] if words[at] == "-m" else words[at:]
    command = [str(TOP / "daggerw"), "--lab", *words[:at], "-m", str(TOP), *rest]
    passwords = dict.fromkeys(["REGISTRY_PASSWORD", "CI_REGISTRY_PASSWORD", "REGISTRY_PSW"], "x")
    env = os.environ | {"DAGGERW_ENGINE": "embedded"} | passwords
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def calls(folder: Path, rendered: Mapping[str, str]) -> dict[str, list[str]]:
    """All that the files call, by what is called: where the result goes, and how progress is shown, do not count."""
    found: dict[str, list[str]] = {}
    for path, text in rendered.items():
        for number, job in enumerate(scripts(path, text)):
            (place := folder / f"{path.replace('/', '_')}-{number}").mkdir()
            for words in dagger_calls(run(job, place)):
                found.setdefault(" ".join(words[words.index("call") :]).split(" export ")[0], words)
    return found


def test_every_call_of_every_file_succeeds(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    found = calls(tmp_path / "jobs", files())
    # These ask CozyStack's repository. Below, the first two ask one of the test; the third, which asks the registries
    # of all of CozyStack's images too, is called in tests/engine/test_workloads.py.
    asking = {name for name in found if name.split()[1] in {"outdated", "update", "workloads-record"}}
    others = {"test", "boots", "build", "publish", "site"}
    assert {name.split()[1] for name in found} == others | {"outdated", "update", "workloads-record"}
    for number, (name, words) in enumerate(found.items()):
        if name in asking:
            continue
        (work := tmp_path / str(number)).mkdir()
        (work / "before").mkdir()  # which the job makes before it calls `site`
        done = daggerw(words, work)
        if "publish" in words:  # its words are taken and the plan is made; then stand-ins are refused
            assert "stand-ins" in done.stderr, done.stderr[-4000:]
            continue
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stderr[-4000:]}"
        if "site" in words:
            assert '"variant": "spin-tailscale"' in (work / "site/latest.json").read_text()
        elif "export" in words:
            (assets,) = work.glob(f"{words[-1]}/assets/talos/*")
            assert (assets / "iso/metal-arm64.iso").stat().st_size > 0
            subprocess.run(["sha256sum", "--check", "--quiet", "checksums.sha256"], cwd=assets, check=True)


def test_every_call_of_a_users_own_release_succeeds(tmp_path: Path) -> None:
    """With the user's own variants, which are not in this project."""
    (variants := tmp_path / "work/talos/variants").mkdir(parents=True)
    # `site` writes machine configuration, which needs what CozyStack's own zfs extension waits for.
    modules = "configuration: {kernelModules: [{name: zfs, provides: [/dev/zfs], reason: its service waits for it}]}\n"
    (variants / "edge.yaml").write_text(f"description: An edge node\nrole: worker\n{modules}")
    arguments = Arguments(
        module="github.com/OWNER/cozystack-talos@v0.1.0",
        variants_folder="talos/variants",
        outputs=("kernel", "initramfs"),
        address="registry.example.com/talos",
    )
    own = load_variants({"edge.yaml": (variants / "edge.yaml").read_text()})
    description = parse_description(DESCRIPTION.read_text())
    rendered = render_files(description, make_settings(description, arguments, own, own.names), VENDORS)
    (tmp_path / "jobs").mkdir()
    # where a job is for one variant, the stand-ins of the vendors' expressions name a built-in one
    found = [words for words in calls(tmp_path / "jobs", rendered).values() if "edge" in words]
    assert {word for words in found for word in ("build", "publish") if word in words} == {"build", "publish"}
    (tmp_path / "work/before").mkdir()
    for words in found:
        done = daggerw(words, tmp_path / "work")
        if "publish" in words:
            assert "stand-ins" in done.stderr, done.stderr[-4000:]
            continue
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stderr[-4000:]}"
        if "site" in words:
            assert '"variant": "edge"' in (tmp_path / "work/site/latest.json").read_text()
            continue
        (assets,) = (tmp_path / "work").glob(f"{words[-1]}/assets/talos/*")
        subprocess.run(["sha256sum", "--check", "--quiet", "checksums.sha256"], cwd=assets, check=True)


@contextmanager
def served(folder: Path) -> Generator[str]:
    """Serve git repositories; gives the address of the folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["git", "daemon", f"--base-path={folder}", "--export-all", "--listen=127.0.0.1", f"--port={port}"]
    with subprocess.Popen(command) as server:
        try:
            for _ in range(100):
                time.sleep(0.1)
                with socket.socket() as asked:
                    if asked.connect_ex(("127.0.0.1", port)) == 0:
                        break
            yield f"git://127.0.0.1:{port}"
        finally:
            server.terminate()


def cozystack(folder: Path) -> None:
    """Make a repository with two releases, of which the newer one has an extension less; the older is checked out."""
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for path, text in checkout("v1.6.2").items():
        (file := folder / path).parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "a"], ["tag", "v1.6.2"]):
        subprocess.run([*git, *words], check=True)
    for profile in folder.glob("packages/core/talos/images/talos/profiles/*.yaml"):
        kept = [line for line in profile.read_text().splitlines() if "siderolabs/qlogic-firmware" not in line]
        profile.write_text("\n".join(kept) + "\n")
    for words in (["commit", "--quiet", "-a", "-m", "b"], ["tag", "v1.7.0"], ["tag", "v1.8.0-rc.1"]):
        subprocess.run([*git, *words], check=True)
    subprocess.run([*git, "checkout", "--quiet", "v1.6.2"], check=True)


def test_an_update_is_proposed_with_what_it_changes(tmp_path: Path) -> None:
    cozystack(tmp_path / "cozystack")
    (work := tmp_path / "work").mkdir()
    current = ["--upstream", str(tmp_path / "cozystack")]
    with served(tmp_path) as address:
        repository = ["--repository", f"{address}/cozystack"]
        outdated = daggerw(["call", *current, "outdated", *repository], work)
        updated = daggerw(["call", "-y", *current, "update", *repository], work)
        unknown = daggerw(["call", *current, "outdated", *repository, "--to", "v1.7.9"], work)
    assert outdated.returncode == 0, outdated.stderr
    assert outdated.stdout.startswith("spin-only\n  CozyStack: v1.6.2 → v1.7.0\n  - qlogic-firmware 20260622 (")
    assert updated.returncode == 0, updated.stderr
    (release,) = (
        line for line in (work / "ci/common/pins.py").read_text().splitlines() if line.startswith("DEFAULT_RELEASE")
    )
    assert release.startswith('DEFAULT_RELEASE: Final = Release("v1.7.0", "')
    assert unknown.returncode == 1
    assert "the repository has no release v1.7.9: did you mean v1.7.0?" in unknown.stderr
