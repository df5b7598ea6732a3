"""Constraints, paths, checksums, the report, the checks before use and the command line of `ci.verify`."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from ci.common.errors import PlanError
from ci.common.filenames import CHECKSUMS, PROVENANCE, REPORT, REPORT_PAGE, REPORT_TEXT, SBOM
from ci.inspect.models import Entry
from ci.plan.expectation import Expectation, ExpectedExtension, parse_expectation
from ci.plan.model import Plan
from ci.plan.quirks import quirks
from ci.report.build_report import render_result
from ci.report.seal import seal
from ci.verify.checksums import ChecksumsError, parse_checksums
from ci.verify.model import VerifyError
from ci.verify.paths import foreign_programs
from ci.verify.verify import REQUIREMENTS, verify
from tests.unit.inspect import sample_media, samples
from tests.unit.inspect.samples import File
from tests.unit.verify.assets import NOT_HERE, build, expectation_of, files_of, good, plan_of, write

if TYPE_CHECKING:
    from pathlib import Path


def test_allowed_paths_grow_with_talos() -> None:
    assert "usr/lib/ld-linux-aarch64.so.1" not in quirks("v1.11.3").extension_paths
    assert "usr/lib/ld-linux-aarch64.so.1" in quirks("v1.12.0").extension_paths
    assert "usr/bin/nvme" not in quirks("v1.12.9").extension_paths
    assert "usr/bin/nvme" in quirks("v1.13.6").extension_paths
    assert (
        set(quirks("v1.11.3").extension_paths)
        < set(quirks("v1.13.6").extension_paths)
        == set(quirks(None).extension_paths)
    )


@pytest.mark.parametrize(
    ("path", "machine", "foreign"),
    [
        ("usr/local/bin/x", "arm64", False),
        ("usr/local/bin/x", "amd64", True),
        ("usr/local/bin/x", "386", True),
        ("usr/local/bin/x", None, False),
        ("usr/lib/firmware/qcom/modem.mbn", "0x00a4", False),
        ("overlay/artifacts/arm64/firmware/boot/start4.elf", "0x0089", False),
        ("overlay/installers/default", "amd64", True),
        ("usr/lib/grub/i386-pc/normal.mod", "386", False),
        ("usr/local/share/probe.bpf.o", "0x00f7", False),
    ],
)
def test_programs_of_another_machine_are_foreign_but_firmware_is_not(
    path: str, machine: str | None, foreign: bool
) -> None:
    entry = Entry(path=path, type="file", mode=0o755, machine=machine)
    assert bool(list(foreign_programs([entry], "arm64"))) is foreign


@pytest.mark.parametrize("line", ["x", "0" * 64, f"{'0' * 63}g  file", f"{'0' * 64} file", f"{'0' * 64}  "])
def test_checksum_line_that_is_none_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(ChecksumsError, match=r"checksums\.sha256:2: "):
        parse_checksums(f"{'0' * 64}  good\n{line}\n")


def test_sealed_assets_have_checksums_that_sha256sum_takes(tmp_path: Path) -> None:
    build(tmp_path, good())
    done = subprocess.run(["sha256sum", "-c", CHECKSUMS], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"{name}: OK" for name in sorted([*files_of(good()), PROVENANCE, SBOM])]


def test_sealing_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    build(tmp_path, good())
    first = {name: (tmp_path / name).read_bytes() for name in (CHECKSUMS, REPORT, REPORT_TEXT, REPORT_PAGE)}
    build(tmp_path, good())
    assert {name: (tmp_path / name).read_bytes() for name in first} == first


#: How a report begins; the plan's id was got with `sha256sum`, of what `jq -cjS .plan` prints.


def test_assets_are_found_below_the_folder_that_build_exports(tmp_path: Path) -> None:
    spec = good()
    expectation = build(tmp_path / "assets/talos/arm64", spec)
    assert verify(tmp_path, expectation).ok
    build(tmp_path / "assets/talos/amd64", good(arch="amd64"))
    with pytest.raises(VerifyError, match=r"several architectures \(assets/talos/amd64, assets/talos/arm64\)"):
        verify(tmp_path)


def test_sealed_assets_need_no_expectation_to_agree_with_themselves(tmp_path: Path) -> None:
    build(tmp_path, good())
    result = verify(tmp_path)
    assert result.failures == ()
    skipped = {check.id for check in result.checks if check.status == "skip"}
    expected = {"layout.complete", "layout.nothing-else", "extensions.planned", "extensions.absent"}
    assert skipped - NOT_HERE == expected


def test_flat_folder_of_upstreams_names_is_checked_by_content(tmp_path: Path) -> None:
    files = files_of(good())
    flat = {name.rpartition("/")[2]: data for name, data in files.items() if not name.startswith("boot/")}
    flat |= {"kernel-arm64": files["boot/vmlinuz"], "initramfs-metal-arm64.xz": files["boot/initramfs.xz"]}
    write(tmp_path, flat)
    assert verify(tmp_path).failures == ()


def test_a_single_file_is_checked_by_what_it_holds(tmp_path: Path) -> None:
    files = files_of(good())
    write(tmp_path, {"whatever": files["installer/installer-arm64.tar"]})
    result = verify(tmp_path)
    assert result.failures == ()
    passed = {check.id for check in result.checks if check.status == "pass"}
    assert {"installer.boot-files", "uki.machine", "extensions.listed", "elf.machine", "kernel.machine"} <= passed


def test_a_folder_without_assets_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match="holds no files"):
        verify(tmp_path)
    with pytest.raises(VerifyError, match="no such folder"):
        verify(tmp_path / "gone")


@pytest.mark.parametrize("files", [{"README.md": b"# Talos\n"}, {"a/b.bin": bytes(range(64)), "x.tar": b""}])
def test_files_of_which_none_boots_are_an_error_and_no_pass(tmp_path: Path, files: dict[str, bytes]) -> None:
    write(tmp_path, files)
    for expectation in (None, expectation_of(good())):
        with pytest.raises(VerifyError, match=r": holds no boot assets: no kernel, .* only .*: give the folder that"):
            verify(tmp_path, expectation)


@pytest.mark.parametrize("name", list(files_of(good())))
def test_an_output_alone_is_enough_to_be_checked(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: files_of(good())[name], "README.md": b"# Talos\n"})
    assert verify(tmp_path).ok


@pytest.mark.parametrize(
    "kinds",
    [
        {"cmdline/cmdline-metal-arm64": "cmdline"},
        {"boot/vmlinuz": "kernel"},
        {"boot/vmlinuz": "kernel", "boot/initramfs.xz": "initramfs"},
    ],
    ids=" ".join,
)
def test_outputs_that_name_no_talos_version_agree_with_their_report(tmp_path: Path, kinds: dict[str, str]) -> None:
    write(tmp_path, {name: files_of(good())[name] for name in kinds})
    assert seal(
        tmp_path, expectation_of(good()).model_copy(update={"files": kinds}), Plan.model_validate(plan_of(good()))
    ).ok
    assert verify(tmp_path).failures == ()


@pytest.mark.parametrize("report", ["", "[]", '{"arch": 1}', '{"arch": "mips"}'])
def test_a_report_that_is_none_tells_nothing(tmp_path: Path, report: str) -> None:
    write(tmp_path, {"boot/vmlinuz": files_of(good())["boot/vmlinuz"], REPORT: report.encode()})
    assert [check.id for check in verify(tmp_path).failures] == ["report.agrees"]


def test_a_file_that_can_not_be_read_is_a_failed_check_also_alone(tmp_path: Path) -> None:
    write(tmp_path, {"initramfs.xz": files_of(good())["boot/initramfs.xz"][:-100]})
    assert [check.id for check in verify(tmp_path).failures] == ["files.readable"]


def anywhere(**changed: Any) -> Expectation:
    """What `verify --variant` expects: the plan's content, wherever its files lie."""
    return expectation_of(good()).model_copy(update={"files": None, **changed})


@pytest.mark.parametrize(("name", "kind"), [("boot/vmlinuz", "kernel"), ("cmdline/cmdline-metal-arm64", "cmdline")])
def test_of_a_variant_there_has_to_be_an_initramfs(tmp_path: Path, name: str, kind: str) -> None:
    write(tmp_path, {name: files_of(good())[name]})
    failed = {check.id: check.evidence for check in verify(tmp_path, anywhere()).failures}
    arguments = ("there is no kernel command line: nothing here tells that there are the arguments init_on_alloc=1",)
    assert failed == {
        "extensions.planned": ("there is no initramfs: nothing here tells which extensions the assets have",),
        "extensions.absent": ("there is no initramfs: nothing here tells that tailscale is absent",),
    } | ({"cmdline.arguments": arguments} if kind == "kernel" else {})
    # A build is checked for the outputs that it was asked for.
    built = verify(tmp_path, anywhere(files={name: kind}))
    skipped = {check.id: check.evidence for check in built.checks if check.status == "skip"}
    assert skipped["extensions.planned"] == skipped["extensions.absent"] == ("there is no initramfs",)
    assert not {"extensions.planned", "extensions.absent"} & {check.id for check in built.failures}


def grub_disk(boot: bytes) -> bytes:
    """A disk that starts with GRUB, whose kernel and initramfs are in a partition of its own."""
    esp = sample_media.fat([File("EFI/boot/BOOTAA64.efi", samples.boot_loader())], 12)
    partitions = [(sample_media.ESP, "EFI", esp), (sample_media.LINUX, "BOOT", boot)]
    return sample_media.gpt([*partitions, (sample_media.LINUX, "META", bytes(1 << 20))])


def test_what_a_partition_hides_that_is_not_read_is_not_taken_for_right(tmp_path: Path) -> None:
    """Among others, a router's image is not verified as a worker's."""
    write(tmp_path, {"metal-arm64.raw": grub_disk(b"an unknown file system".ljust(1 << 20, b"\1"))})
    checks = {check.id: check for check in verify(tmp_path, anywhere()).checks}
    for name in ("extensions.planned", "extensions.absent", "cmdline.arguments", "menu.version"):
        assert checks[name].status == "fail", name
        assert "metal-arm64.raw: the partition BOOT is not read (" in checks[name].evidence[0]
    for name in ("kernel.machine", "initramfs.base", "extensions.modes", "media.bootable"):
        assert checks[name].status == "skip", name
        assert "metal-arm64.raw: the partition BOOT is not read (" in checks[name].evidence[0]
    # Without a plan nothing is promised, and what is not known is not a mismatch.
    alone = verify(tmp_path)
    assert alone.failures == ()
    assert {check.id for check in alone.checks if check.status == "pass"} == {
        *("files.readable", "boot-loader.machine", "disk.partitions", "report.stand-in"),
    }


def test_what_was_read_beside_a_partition_that_was_not_is_not_all(tmp_path: Path) -> None:
    disk = grub_disk(b"an unknown file system".ljust(1 << 20, b"\1"))
    write(tmp_path, {**files_of(good()), "board/metal-arm64.raw": disk})
    checks = {check.id: check for check in verify(tmp_path, anywhere()).checks}
    assert {name: checks[name].status for name in ("kernel.same", "initramfs.same", "extensions.unique")} == {
        "kernel.same": "skip", "initramfs.same": "skip", "extensions.unique": "skip",
    }  # fmt: skip
    assert checks["extensions.absent"].status == "fail"
    assert (
        checks["extensions.absent"].evidence[0].startswith("not every initramfs was looked at: board/metal-arm64.raw")
    )


@pytest.mark.parametrize("name", list(files_of(good())))
def test_a_file_of_an_unknown_architecture_is_not_measured_by_none(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: files_of(good())[name]})
    assert not any("None is wanted" in line for check in verify(tmp_path).checks for line in check.evidence)


@pytest.mark.parametrize("machine", ["riscv64", "386"])
def test_a_machine_that_talos_is_not_made_for_is_wrong_without_a_plan_too(tmp_path: Path, machine: str) -> None:
    loader = bytearray(samples.boot_loader())
    at = loader.index(b"PE\0\0") + 4
    loader[at : at + 2] = {"riscv64": 0x5064, "386": 0x14C}[machine].to_bytes(2, "little")
    write(tmp_path, {"boot/vmlinuz": files_of(good())["cmdline/cmdline-metal-arm64"], "a.efi": bytes(loader)})
    failed = {check.id: check.evidence for check in verify(tmp_path).failures}
    assert failed == {"boot-loader.machine": (f"a.efi is for {machine}, Talos is made for arm64 and amd64",)}


def test_expectation_goes_through_json_and_names_unknown_keys() -> None:
    expectation = expectation_of(good())
    assert parse_expectation("plan.json", expectation.model_dump_json()) == expectation
    with pytest.raises(PlanError, match=r"plan\.json: archs: .*keys are arch, talos, variant"):
        parse_expectation("plan.json", '{"archs": "arm64"}')
    with pytest.raises(PlanError, match=r"plan\.json: extensions\.0\.name: "):
        parse_expectation("plan.json", '{"extensions": [{}]}')


def test_version_of_an_extension_may_be_left_open(tmp_path: Path) -> None:
    expectation = expectation_of(good()).model_copy(
        update={"extensions": (ExpectedExtension(name="spin"), ExpectedExtension(name="drbd"))}
    )
    build(tmp_path, good(), expectation)
    assert verify(tmp_path, expectation).ok


def test_text_of_a_result_shows_each_failure_with_its_evidence(tmp_path: Path) -> None:
    build(tmp_path, good())
    text = render_result(verify(tmp_path, Expectation(arch="amd64")))
    assert "FAIL  kernel.machine" in text
    assert "- boot/vmlinuz is for arm64, amd64 is wanted" in text
    assert text.splitlines()[-1].startswith(f"{len(REQUIREMENTS)} checks: ")


# Extension images before they are packed.


# The command line.


# Boots
