"""What differs between the imager's versions, beside what the records show: v1.12.6 and v1.14, as in Talos's source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from embedded.lab.imager.contract import CONTRACTS
from embedded.tests.lab_imager.builds import DISK, build, partitions, run_profile

if TYPE_CHECKING:
    from embedded.tests.lab_imager.inputs import Inputs
    from embedded.tests.lab_imager.runners import HostRunner, RootRunner

NEXT = "v1.14.0-rc.1"
CMDLINE = """\
arch: arm64
platform: {platform}
version: {version}
output: {{kind: cmdline, outFormat: raw}}
"""


@pytest.mark.parametrize("version", CONTRACTS)
def test_every_version_makes_a_command_line(host: HostRunner, version: str) -> None:
    result = host.run(f"cmdline-{version}", CMDLINE.format(platform="metal", version=version), version)
    assert result.exit_code == 0, result.stderr
    words = result.file.read_text().split()
    assert ("init_on_alloc=1" in words) is (version != NEXT)
    assert ("nvme_core.io_timeout=4294967295" in words) is (version != NEXT)
    assert {"slab_nomerge", "pti=on", "printk.devkmsg=on"} <= set(words)
    assert ("module.sig_enforce=1" in words) is (version >= "v1.12")


def test_an_older_talos_keeps_its_arguments_with_a_newer_imager(host: HostRunner) -> None:
    result = host.run("cmdline-older", CMDLINE.format(platform="metal", version="v1.13.6"), NEXT)
    assert "init_on_alloc=1" in result.file.read_text()


@pytest.mark.parametrize(("version", "known"), [("v1.13.6", False), (NEXT, True)])
def test_alibabacloud_is_a_platform_from_v1_14_on(host: HostRunner, version: str, *, known: bool) -> None:
    result = host.run("alibabacloud", CMDLINE.format(platform="alibabacloud", version=version), version)
    assert (result.exit_code == 0) is known
    assert ('unknown platform: "alibabacloud"' in result.stderr) is not known


def test_the_argument_for_amazons_disks_is_amazons_alone_from_v1_14_on(host: HostRunner) -> None:
    result = host.run("aws", CMDLINE.format(platform="aws", version=NEXT), NEXT)
    assert "nvme_core.io_timeout=4294967295" in result.file.read_text().split()


_KERNEL = "platform: metal\nversion: VERSION\ninput: {kernel: {path: /none}}\noutput: {kind: kernel, outFormat: raw}\n"
BAD = {
    "no YAML": ("not: [valid\n", 2),
    "an invalid profile": ("arch: arm64\nversion: VERSION\noutput: {kind: kernel, outFormat: raw}\n", 2),
    "an unknown base profile": ("arch: arm64\nbaseProfileName: nothing\nversion: VERSION\n", 2),
    "an unknown platform": (CMDLINE.format(platform="moon", version="VERSION"), 2),
    "a missing kernel": (f"arch: arm64\n{_KERNEL}", 6),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("version", ["v1.12.6", "v1.13.6", NEXT])
def test_an_error_has_a_code_and_no_prefix_from_v1_14_on(host: HostRunner, case: str, version: str) -> None:
    profile, code = BAD[case]
    result = host.run("bad-code", profile.replace("VERSION", version), version)
    typed = version == NEXT
    assert result.exit_code == (code if typed else 1)
    last = result.stderr.rstrip().splitlines()[-1]
    assert last.startswith("Error: ") is not typed
    assert last.removeprefix("Error: ")


@pytest.fixture
def made(inputs: Inputs) -> Inputs:
    return inputs


@pytest.mark.lab
@pytest.mark.parametrize(("version", "there"), [("v1.13.6", False), (NEXT, True)])
def test_an_iso_has_a_seed_that_nobody_writes_from_v1_14_on(
    root: RootRunner, made: Inputs, version: str, *, there: bool
) -> None:
    iso = build(root, "seed", kind="iso", version=version, uid=0)
    inside = f"/LAB/{iso.relative_to(root.lab)}"
    files = root.tool("xorriso", "-indev", inside, "-find", "/").splitlines()
    assert ("'/loader/random-seed'" in files) is there
    iso.unlink()


@pytest.mark.lab
def test_disks_with_large_sectors_are_made_from_v1_14_on(root: RootRunner, made: Inputs) -> None:
    disk = build(root, "large", kind=DISK % ", diskSectorSize: 4096", version=NEXT)
    with disk.open("rb") as file:
        file.seek(4096)
        assert file.read(8) == b"EFI PART"
        file.seek(1 << 20)
        assert int.from_bytes(file.read(13)[11:], "little") == 4096
    disk.unlink()
    older = build(root, "large-older", kind=DISK % ", diskSectorSize: 4096", version="v1.13.6")
    assert partitions(root, f"/LAB/{older.relative_to(root.lab)}")
    older.unlink()


@pytest.mark.lab
def test_a_large_sector_disk_of_amd64_boots_both_ways(root: RootRunner, made: Inputs) -> None:
    result = run_profile(root, "large-dual", arch="amd64", kind=DISK % ", diskSectorSize: 4096", version=NEXT)
    assert result.exit_code == 0, result.stderr
    result.file.unlink()
