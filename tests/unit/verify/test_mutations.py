"""Ways to break good assets, each caught by exactly the check that is meant for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ci.common.filenames import CHECKSUMS, PROVENANCE, REPORT, REPORT_PAGE, REPORT_TEXT, SBOM, STAND_IN
from ci.plan.expectation import Expectation
from ci.plan.quirks import Quirks, quirks
from ci.verify.verify import REQUIREMENTS, verify
from tests.unit.inspect import sample_media, samples
from tests.unit.inspect.samples import File
from tests.unit.verify.assets import (
    NOT_HERE,
    RELEASE,
    RUNTIME,
    Spec,
    build,
    configured,
    drbd,
    expectation_of,
    files_of,
    finished,
    good,
    spin,
    tailscale,
    write,
)
from tests.unit.verify.mutations import (
    BUILT_WRONG,
    compressed_module_that_needs_another,
    line_of,
    module_of_a_name_that_is_not_planned,
    runtime,
)
from tests.unit.verify.mutations_of_folders import BROKEN_LATER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ci.plan.expectation import Architecture


TAKES = "the kernel takes 2047 and passes over the rest"


def failures(root: Path, spec: Spec) -> dict[str, tuple[str, ...]]:
    return {check.id: check.evidence for check in verify(root, expectation_of(spec)).failures}


@pytest.mark.parametrize("variant", ["spin-only", "spin-tailscale"])
@pytest.mark.parametrize("arch", ["arm64", "amd64"])
def test_good_assets_pass_every_check_and_skip_none(tmp_path: Path, variant: str, arch: Architecture) -> None:
    spec = good(variant, arch)
    expectation = build(tmp_path, spec)
    result = verify(tmp_path, expectation)
    skipped = {check.id for check in result.checks if check.status == "skip"}
    assert result.failures == ()
    assert skipped - NOT_HERE == (set() if variant == "spin-only" else {"extensions.absent"})


def test_good_assets_of_other_origin_pass_without_an_expectation_and_without_a_report(tmp_path: Path) -> None:
    spec = good()
    build(tmp_path, spec)
    for name in (CHECKSUMS, REPORT, REPORT_TEXT, REPORT_PAGE, SBOM, PROVENANCE):
        (tmp_path / name).unlink()
    result = verify(tmp_path)
    assert result.failures == ()
    assert {check.id for check in result.checks if check.status == "skip"} - NOT_HERE == {
        "layout.complete",
        "layout.nothing-else",
        "checksums.complete",
        "checksums.true",
        "extensions.planned",
        "extensions.absent",
        "sbom.complete",
        "provenance.agrees",
        "report.agrees",
    }


@pytest.mark.parametrize(
    ("change", "check", "evidence"), BUILT_WRONG, ids=[f"{c.__name__}-{i}" for c, i, _ in BUILT_WRONG]
)
def test_assets_built_wrong_fail_exactly_the_check_meant_for_it(
    tmp_path: Path, change: Callable[[Spec], Spec], check: str, evidence: str
) -> None:
    planned = good()
    build(tmp_path, change(good()), expectation_of(planned))
    found = failures(tmp_path, planned)
    assert list(found) == [check]
    assert any(evidence in line for line in found[check]), found[check]


def test_tailscale_as_extension_of_spin_only_is_neither_planned_nor_absent(tmp_path: Path) -> None:
    planned = good()
    build(tmp_path, replace(good(), extensions=[spin(), drbd(), tailscale()]), expectation_of(planned))
    found = failures(tmp_path, planned)
    assert set(found) == {"extensions.planned", "extensions.absent"}
    assert "boot/initramfs.xz: extensions.yaml lists tailscale" in found["extensions.absent"]


def test_what_a_variants_configuration_names_is_there(tmp_path: Path) -> None:
    expected = build(tmp_path, good(), configured(good()))
    checks = {check.id: check for check in verify(tmp_path, expected).checks}
    assert (checks["modules.planned"].status, checks["runtimes.defined"].status) == ("pass", "pass")
    assert checks["modules.planned"].evidence[:2] == (
        "boot/initramfs.xz:1.sqsh: drbd",
        "boot/initramfs.xz:rootfs.sqsh: net",
    )


@pytest.mark.parametrize(
    ("change", "check", "evidence"),
    [
        (
            module_of_a_name_that_is_not_planned,
            "modules.planned",
            "the module drbd, which the machine configuration loads, is in no extension",
        ),
        (compressed_module_that_needs_another, "modules.dependencies", "needs the module lru_cache, which is nowhere"),
        (
            runtime(RUNTIME.replace("runtimes.spin", "runtimes.spun")),
            "runtimes.defined",
            "no extension defines the runtime spin, which a runtime class names: known are runc, spun",
        ),
    ],
)
def test_what_a_variants_configuration_names_is_missed(
    tmp_path: Path, change: Callable[[Spec], Spec], check: str, evidence: str
) -> None:
    expected = build(tmp_path, change(good()), configured(good()))
    found = {check.id: check.evidence for check in verify(tmp_path, expected).failures}
    # The list of modules, which these samples have ready, is not true then either.
    assert set(found) - {"modules.index"} == {check}
    assert any(evidence in line for line in found[check]), found


@pytest.mark.parametrize(
    ("change", "check", "evidence"), BROKEN_LATER, ids=[f"{c.__name__}-{i}" for c, i, _ in BROKEN_LATER]
)
def test_assets_broken_later_fail_exactly_the_check_meant_for_it(
    tmp_path: Path, change: Callable[[Path], None], check: str, evidence: str
) -> None:
    spec = good()
    build(tmp_path, spec)
    change(tmp_path)
    found = failures(tmp_path, spec)
    assert list(found) == [check]
    assert any(evidence in line for line in found[check]), found[check]


def test_a_missing_output_is_missed_by_layout_checksums_and_report(tmp_path: Path) -> None:
    spec = good()
    build(tmp_path, spec)
    (tmp_path / "boot/vmlinuz").unlink()
    expected = {"layout.complete", "checksums.complete", "provenance.agrees", "report.agrees"}
    assert set(failures(tmp_path, spec)) == expected


def test_an_output_of_another_kind_is_not_taken_for_the_planned_one(tmp_path: Path) -> None:
    spec = good()
    build(tmp_path, spec)
    (tmp_path / "cmdline/cmdline-metal-arm64").write_bytes(samples.elf())
    found = failures(tmp_path, spec)
    assert found["layout.complete"] == ("cmdline/cmdline-metal-arm64 is a elf, a cmdline belongs there",)


def test_a_file_cut_short_is_said_to_be_unreadable_with_its_place(tmp_path: Path) -> None:
    spec = good()
    build(tmp_path, spec)
    path = tmp_path / "boot/initramfs.xz"
    path.write_bytes(path.read_bytes()[:-100])
    found = failures(tmp_path, spec)
    assert set(found) == {"files.readable", "checksums.true", "provenance.agrees", "report.agrees"}
    assert "boot/initramfs.xz" in found["files.readable"][0]
    assert "zstd frame at byte" in found["files.readable"][0]


def test_media_without_a_boot_loader_do_not_boot(tmp_path: Path) -> None:
    spec = good()
    build(tmp_path, spec)
    (tmp_path / "iso/metal-arm64.iso").write_bytes(sample_media.iso([File("EFI/Linux/Talos.efi", finished(spec).uki)]))
    found = failures(tmp_path, spec)
    assert set(found) == {"media.bootable", "checksums.true", "provenance.agrees", "report.agrees"}
    assert found["media.bootable"] == ("iso/metal-arm64.iso has no boot loader at /efi/boot/bootaa64.efi",)


@pytest.mark.parametrize(
    ("files", "evidence"),
    [
        ({"EFI/boot/BOOTAA64.efi.bak": "loader"}, "has no boot loader at /efi/boot/bootaa64.efi"),
        ({"EFI/boot/BOOTAA64.efi": "text"}, "/EFI/boot/BOOTAA64.efi is a file, no boot loader"),
        ({"EFI/boot/BOOTAA64.efi": "kernel"}, "/EFI/boot/BOOTAA64.efi is a kernel, no boot loader"),
        ({"EFI/boot/BOOTAA64.efi/x": "loader"}, "has no boot loader at /efi/boot/bootaa64.efi"),
        ({"EFI/boot/BOOTX64.efi": "loader"}, "has no boot loader at /efi/boot/bootaa64.efi"),
    ],
)
def test_a_boot_loader_is_what_firmware_looks_for_and_nothing_like_it(
    tmp_path: Path, files: dict[str, str], evidence: str
) -> None:
    full = finished(good())
    contents = {"loader": full.loader, "kernel": full.kernel, "text": b"no boot loader\n"}
    esp = [File(path, contents[what]) for path, what in files.items()]
    esp.append(File("EFI/Linux/Talos.efi", full.uki))
    disk = sample_media.gpt([
        (sample_media.ESP, "EFI", sample_media.fat(esp, 12)),
        (sample_media.LINUX, "META", bytes(1 << 20)),
    ])  # fmt: skip
    (tmp_path / "disk.raw").write_bytes(disk)
    found = {check.id: check.evidence for check in verify(tmp_path, Expectation(arch="arm64")).failures}
    assert found == {"media.bootable": (f"disk.raw {evidence}".replace("raw /", "raw: /"),)}


def test_a_uki_elsewhere_than_where_systemd_boot_looks_is_none(tmp_path: Path) -> None:
    full = finished(good())
    files = [File("EFI/BOOT/BOOTAA64.EFI", full.loader), File("backup/Talos.efi", full.uki)]
    (tmp_path / "a.iso").write_bytes(sample_media.iso(files))
    found = {check.id: check.evidence for check in verify(tmp_path).failures}
    assert found == {"media.bootable": ("a.iso holds no unified kernel image",)}


def test_a_disk_without_meta_partition_is_refused(tmp_path: Path) -> None:
    spec = good()
    build(tmp_path, spec)
    full = finished(spec)
    esp = sample_media.fat([File("EFI/boot/BOOTAA64.efi", full.loader), File("EFI/Linux/Talos.efi", full.uki)], 12)
    disk = samples.zstd(sample_media.gpt([(sample_media.ESP, "EFI", esp)]))
    (tmp_path / "metal/metal-arm64.raw.zst").write_bytes(disk)
    found = failures(tmp_path, spec)
    assert set(found) == {"disk.partitions", "checksums.true", "provenance.agrees", "report.agrees"}
    assert found["disk.partitions"] == ("metal/metal-arm64.raw.zst has no META partition, only EFI",)


@pytest.mark.parametrize(
    ("files", "too_long"),
    [
        ({"uki.efi": 2047}, []),
        ({"uki.efi": 2048}, [f"uki.efi:.cmdline has 2048 bytes, {TAKES}"]),
        # For a file of its own, iPXE adds ` initrd=initramfs.xz`.
        ({"cmdline": 2027}, []),
        (
            {"cmdline": 2028},
            [f"cmdline has 2048 bytes with the 20 that the boot loader adds, {TAKES}"],
        ),
    ],
)
def test_a_command_line_fits_the_kernels_buffer(tmp_path: Path, files: dict[str, int], too_long: list[str]) -> None:
    full = finished(good())
    for name, length in files.items():
        line = line_of(length)
        uki = samples.uki(full.kernel, full.initramfs, cmdline=line)
        (tmp_path / name).write_bytes(uki if name.endswith(".efi") else line.encode())
    found = {check.id: list(check.evidence) for check in verify(tmp_path).failures}
    assert found == ({"cmdline.length": too_long} if too_long else {})


@pytest.mark.parametrize(
    ("quirk", "check", "evidence"),
    [
        ("efi_partition", "uki.size", "the EFI system partition of Talos v1.13.6 has 1 MiB"),
        ("boot_partition", "initramfs.size", "MiB with the kernel: the partition BOOT of Talos v1.13.6"),
    ],
)
def test_what_does_not_fit_a_nodes_partitions_is_reported_at_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quirk: str, check: str, evidence: str
) -> None:
    spec = good()
    spec = finished(replace(spec, kernel=samples.kernel(RELEASE, payload=bytes(1 << 19))))
    build(tmp_path, spec)
    assert verify(tmp_path, expectation_of(spec)).failures == ()
    monkeypatch.setattr(Quirks, quirk, 1 << 20)
    found = failures(tmp_path, spec)
    assert list(found) == [check]
    assert any(evidence in line for line in found[check]), found[check]


@pytest.mark.parametrize("version", ["foo", "1.13", "", "v1.13.6-dirty", "v99.0.0"])
def test_assets_that_name_an_odd_version_are_checked_all_the_same(tmp_path: Path, version: str) -> None:
    spec = finished(good())
    uki = samples.uki(spec.kernel, spec.initramfs, talos=version)
    (tmp_path / "uki.efi").write_bytes(uki)
    assert "elf.machine" in {check.id for check in verify(tmp_path).checks if check.status == "pass"}


@pytest.mark.parametrize(
    ("talos", "boot", "efi"),
    [("v1.10.9", 1000, 1101), ("v1.11.0", 2000, 2101), ("v1.13.6", 2000, 2101), (None, 2000, 2101)],
)
def test_partitions_are_as_large_as_the_talos_version_makes_them(talos: str | None, boot: int, efi: int) -> None:
    assert (quirks(talos).boot_partition, quirks(talos).efi_partition) == (boot << 20, efi << 20)


@pytest.mark.parametrize(
    ("talos", "plugin"), [("v1.7.6", "io.containerd.grpc.v1.cri"), ("v1.8.0", "io.containerd.cri.v1.runtime")]
)
def test_containerd_2_came_with_talos_1_8(talos: str, plugin: str) -> None:
    assert quirks(talos).cri_plugin == plugin


def test_every_requirement_is_shown_to_fail() -> None:
    shown = {check for _, check, _ in BUILT_WRONG} | {check for _, check, _ in BROKEN_LATER}
    shown |= {
        "files.readable",
        "layout.complete",
        "media.bootable",
        "disk.partitions",
        "menu.version",
        "modules.planned",
        "uki.size",
        "initramfs.size",
        # In test_signed_files.py.
        *("signatures.files", "signatures.key"),
        # In test_overlay.py.
        *("overlay.files", "overlay.boot-code", "overlay.arguments", "overlay.installer"),
    }
    assert {requirement.id for requirement in REQUIREMENTS} == shown
    assert len(BUILT_WRONG) + len(BROKEN_LATER) >= 25


@pytest.mark.parametrize(("stand_in", "missed"), [(True, False), (False, True)])
def test_the_shim_of_runc_is_talos_own_which_stand_ins_lack(tmp_path: Path, stand_in: bool, missed: bool) -> None:
    spec = runtime(RUNTIME.replace("spin.v2", "runc.v2"))(good())
    files = files_of(spec) | ({STAND_IN: b""} if stand_in else {})
    write(tmp_path, files)
    failed = {check.id: check.evidence for check in verify(tmp_path).failures}
    assert any("containerd-shim-runc-v2" in line for line in failed.get("runtimes.shims", ())) is missed
