"""Constraints, paths, checksums, the report, the checks before use and the command line of `ci.verify`."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from ci.common.errors import PlanError
from ci.common.filenames import CHECKSUMS, PROVENANCE, REPORT, REPORT_TEXT, SBOM, SIGNATURES
from ci.inspect.models import Entry
from ci.plan.expectation import Expectation, ExpectedExtension, parse_expectation
from ci.plan.model import Plan
from ci.plan.quirks import quirks
from ci.report.build_report import render_report, render_result
from ci.report.seal import seal
from ci.steps.verify import main
from ci.verify.checksums import ChecksumsError, parse_checksums
from ci.verify.compatibility import ConstraintError, parse_version, satisfies
from ci.verify.extension_images import check_extensions
from ci.verify.model import VerifyError
from ci.verify.paths import foreign_programs
from ci.verify.reported import STAND_IN_LINE, parse_report
from ci.verify.signatures import render_signatures
from ci.verify.verify import REQUIREMENTS, verify
from tests.unit.inspect import sample_media, samples
from tests.unit.inspect.samples import File
from tests.unit.verify_assets import NOT_HERE, build, expectation_of, files_of, good, plan_of, planned_output, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("constraint", "version", "met"),
    [
        ("", "v1.13.6", True),
        (">= v1.0.0", "v1.13.6", True),
        (">= v1.13.6", "v1.13.6", True),
        ("> v1.13.6", "v1.13.6", False),
        (">=v1.14.0", "v1.13.6", False),
        ("< v1.13.0", "v1.13.6", False),
        (">= v1.10.0 < v1.13.0", "v1.11.3", True),
        (">= v1.10.0 < v1.13.0", "v1.13.0", False),
        ("< 1.10.0 || >= 1.13.0", "v1.13.6", True),
        ("< 1.10.0 || >= 1.13.0", "v1.11.3", False),
        ("= v1.13.6", "1.13.6", True),
        ("==1.13.6", "1.13.6", True),
        ("1.13.6", "1.13.6", True),
        ("!= v1.13.6", "v1.13.6", False),
        ("!1.13.5", "v1.13.6", True),
        # Talos compares without its own pre-release.
        (">= v1.14.0", "v1.14.0-rc.1", True),
        # 1.9 is less than 1.13 although the text is not.
        (">= v1.9.0", "v1.13.6", True),
        # A pre-release comes before its version; numbers in it come before words, and count as numbers.
        (">= v1.13.0-rc.1", "v1.13.0", True),
        ("< 1.13.0-rc.1", "v1.13.0-alpha.1", False),
        ("<= 1.13.0-alpha", "v1.13.0", False),
        ("= 1.13.6-beta.2", "v1.13.6-beta.2", False),
        ("1.13.6+talos", "v1.13.6", True),
        # Wildcards stand for the last number that is written.
        (">= 1.10.x", "v1.10.0", True),
        (">= 1.14.x", "v1.13.6", False),
        ("> 1.12.x", "v1.12.9", False),
        ("> 1.12.x", "v1.13.0", True),
        ("<= 1.13.x", "v1.13.6", True),
        ("<= 1.13.x", "v1.14.0", False),
        ("< 1.13.x", "v1.13.0", False),
        ("1.13.x", "v1.13.6", True),
        ("1.x", "v1.13.6", True),
        ("=1.x", "v2.0.0", False),
        ("!= 1.13.x", "v1.13.6", False),
        # Both halves have to hold, so nothing ever meets it.
        ("!1.12.x", "v1.13.6", False),
        ("\t1.13.6", "v1.13.6", True),
        ("v1.13.x || v1.14.x", "v1.14.2", True),
        # The library's own: three numbers, so the one before the last is counted up.
        ("1.x.x", "v1.0.9", True),
        ("1.x.x", "v1.13.6", False),
        # A lone operator between blanks is passed over.
        ("! 1.13.6", "v1.13.6", True),
        ("1 >= 1.13.6", "v1.13.6", True),
    ],
)
def test_constraint_is_met_as_talos_reads_it(constraint: str, version: str, met: bool) -> None:
    assert satisfies(constraint, version) is met


@pytest.mark.parametrize(
    "constraint",
    [
        *(
            "newest",
            ">= v1",
            "||",
            ">= 1.0.0 ||",
            "|| 1.0.0",
            "1.0.0 || || 1.2.0",
            "~> 1.2.3",
            ">= v1.0.0,",
            " ",
            "x",
            "v",
        ),
        *(">=1.0.0||<2.0.0", "= 01.2.3", "1.2.3-01", "1.2.3-", "1.2.3+", "1.2.3.x", ">= 1.0.0-x.", "<=1.0.0-linux"),
        *("1.2.99999999999999999999", "\u0661.\u0662.\u0663", "é 1.2.3", "1..x", ">"),
    ],
)
def test_constraint_that_is_none_is_refused(constraint: str) -> None:
    with pytest.raises(ConstraintError, match="no version constraint: write it like"):
        satisfies(constraint, "v1.13.6")


@pytest.mark.parametrize("version", ["", "v1.13", "latest", "v1.13.6.1"])
def test_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(ConstraintError, match="no version: write it like"):
        parse_version(version)


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
    first = {name: (tmp_path / name).read_bytes() for name in (CHECKSUMS, REPORT, REPORT_TEXT)}
    build(tmp_path, good())
    assert {name: (tmp_path / name).read_bytes() for name in first} == first


#: How a report begins; the plan's id was got with `sha256sum`, of what `jq -cjS .plan` prints.
REPORTED = f"""\
Talos boot assets: spin-only, arm64

Talos       v1.13.6
kernel      6.18.38-talos
CozyStack   https://example.com/cozystack.git v1.6.2 (commit {"c" * 40})
timestamps  1700000000 (given)
plan        b66cc2286be9c2675651922a5662c1221f2dd0051f0d30637603cbe20f899f8b

extension    version        source   why
spin         v0.21.0        catalog  why spin is there
drbd         9.3.2-v1.13.6  catalog  why drbd is there
modules.dep  6.18.38-talos  imager   index of the extensions' kernel modules

left out  by            why
i915      architecture  for amd64 only

built from      image
imager          ghcr.io/siderolabs/imager:v1.13.6@sha256:{1:064x}
installer base  ghcr.io/siderolabs/installer-base:v1.13.6@sha256:{2:064x}
extension spin  ghcr.io/siderolabs/spin:v0.21.0@sha256:{10:064x}
extension drbd  ghcr.io/siderolabs/drbd:9.3.2-v1.13.6@sha256:{11:064x}

command line of installer/installer-arm64.tar:usr/install/arm64/vmlinuz.efi:.cmdline: """


def test_report_holds_the_plan_the_findings_and_every_check(tmp_path: Path) -> None:
    build(tmp_path, good())
    report = json.loads((tmp_path / REPORT).read_text())
    assert report["plan"] == plan_of(good())
    assert (report["variant"], report["arch"], report["talos"]) == ("spin-only", "arm64", "v1.13.6")
    assert report["kernel"] == "6.18.38-talos"
    assert [entry["name"] for entry in report["extensions"]] == ["spin", "drbd", "modules.dep"]
    kinds = {file["path"]: file["kind"] for file in report["files"]}
    assert kinds == {**(expectation_of(good()).files or {}), SBOM: "text", PROVENANCE: "text"}
    assert {check["id"] for check in report["checks"] if check["status"] != "pass"} == NOT_HERE
    text = (tmp_path / REPORT_TEXT).read_text()
    assert text.startswith(REPORTED)
    count, passed = len(REQUIREMENTS), len(REQUIREMENTS) - len(NOT_HERE)
    assert text.endswith(f"{count} checks: {passed} passed, 0 failed, {len(NOT_HERE)} skipped\n")


def planned_report(root: Path, change: Callable[[dict[str, Any]], Any]) -> list[str]:
    """The lines of the report on assets whose plan was changed."""
    write(root, files_of(good()))
    plan = plan_of(good())
    change(plan)
    seal(root, expectation_of(good()), Plan.model_validate(plan))
    return (root / REPORT_TEXT).read_text().splitlines()


def test_report_wraps_reasons_and_leaves_references_whole(tmp_path: Path) -> None:
    reference = f"registry.example.com/{'long/' * 30}spin:v0.21.0"

    def change(plan: dict[str, Any]) -> None:
        plan["extensions"][0] |= {"reason": "word " * 40, "reference": reference}

    lines = planned_report(tmp_path, change)
    at = next(number for number, line in enumerate(lines) if line.startswith("spin "))
    assert [len(line) <= 120 for line in lines[at : at + 3]] == [True] * 3
    assert lines[at + 1] == " " * lines[at].index("word") + " ".join(["word"] * 16)
    assert f"extension spin  {reference}@sha256:{10:064x}" in lines


def test_report_names_an_overlay_and_the_certificate_of_secure_boot(tmp_path: Path) -> None:
    overlay = {"reference": "ghcr.io/siderolabs/sbc:v1", "digest": "sha256:1"}
    overlay |= {"name": "rpi", "hostPlatform": "linux/amd64", "platform": "linux/arm64", "options": {}}
    lines = planned_report(tmp_path, lambda plan: plan.update(overlay=overlay, secureBoot={"certificate": "abc"}))
    assert "secure boot  certificate sha256:abc" in lines
    assert "overlay         ghcr.io/siderolabs/sbc:v1@sha256:1" in lines


def test_report_names_no_extensions_of_outputs_that_hold_none(tmp_path: Path) -> None:
    plan = plan_of(good()) | {"outputs": [planned_output("kernel", "none")]}
    write(tmp_path, {"boot/vmlinuz": files_of(good())["boot/vmlinuz"]})
    seal(
        tmp_path,
        expectation_of(good()).model_copy(update={"files": {"boot/vmlinuz": "kernel"}}),
        Plan.model_validate(plan),
    )
    text = (tmp_path / REPORT_TEXT).read_text()
    assert "why spin is there" not in text
    assert "extension spin  ghcr.io/siderolabs/spin:" not in text
    assert "imager          ghcr.io/siderolabs/imager:" in text


@pytest.mark.parametrize("plan", [None, [], {"variant": "x"}])
def test_report_with_what_is_not_a_plan_shows_what_was_found(tmp_path: Path, plan: Any) -> None:
    build(tmp_path, good())
    report = parse_report((tmp_path / REPORT).read_text(), REPORT)
    lines = render_report(report.model_copy(update={"plan": plan})).splitlines()
    assert "spin         v0.21.0" in lines
    assert "modules.dep  6.18.38-talos  imager  index of the extensions' kernel modules" in lines
    assert not any(line.startswith(("plan ", "built from")) for line in lines)


def test_report_of_stand_ins_says_so_in_its_first_line(tmp_path: Path) -> None:
    spec = good()
    expectation = expectation_of(spec).model_copy(update={"stand_in": True})
    write(tmp_path, {"STAND-IN.txt": b"made from stand-ins\n"})
    build(tmp_path, spec, expectation)
    assert (tmp_path / REPORT_TEXT).read_text().splitlines()[0] == STAND_IN_LINE
    assert json.loads((tmp_path / REPORT).read_text())["stand_in"] is True
    assert verify(tmp_path, expectation).failures == ()
    real = verify(tmp_path, expectation_of(spec)).failures
    assert [check.id for check in real] == ["report.stand-in"]
    assert "the plan is not of stand-ins, the assets are" in real[0].evidence


def test_report_is_written_when_a_check_fails(tmp_path: Path) -> None:
    planned = expectation_of(good("spin-tailscale"))
    build(tmp_path, good(), planned)
    report = json.loads((tmp_path / REPORT).read_text())
    failed = [check for check in report["checks"] if check["status"] == "fail"]
    assert [check["id"] for check in failed] == ["extensions.planned"]
    assert "FAIL  extensions.planned" in (tmp_path / REPORT_TEXT).read_text()


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


def extension(root: Path, name: str, files: list[File] | None = None, manifest: bytes | None = None) -> Path:
    folder = root / name
    (folder / "rootfs").mkdir(parents=True)
    (folder / "manifest.yaml").write_bytes(samples.manifest(name) if manifest is None else manifest)
    for file in files if files is not None else [File(f"usr/local/bin/{name}", samples.elf(), 0o755)]:
        path = folder / "rootfs" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.target is not None:
            path.symlink_to(file.target)
        else:
            path.write_bytes(file.data)
            path.chmod(file.bits)
    return folder


def extension_failures(paths: list[Path]) -> dict[str, tuple[str, ...]]:
    return {check.id: check.evidence for check in check_extensions(paths, "v1.13.6", "arm64").failures}


def test_good_extensions_pass_every_check_as_folder_and_as_tar(tmp_path: Path) -> None:
    packed = tmp_path / "drbd.tar"
    packed.write_bytes(
        samples.tar([File("manifest.yaml", samples.manifest("drbd")), File("rootfs/usr/local/x", samples.elf())])
    )
    result = check_extensions([extension(tmp_path, "spin"), packed], "v1.13.6", "arm64")
    assert [check.status for check in result.checks] == ["pass"] * 8


@pytest.mark.parametrize(
    ("files", "check", "evidence"),
    [
        ([File("usr/local/x", samples.elf("amd64"))], "extension.machine", "/usr/local/x is an ELF file for amd64"),
        ([File("opt/x", b"1")], "extension.paths", "/opt/x is outside of the allowed paths"),
        ([File("usr/bin/sh", b"1")], "extension.paths", "/usr/bin/sh is outside"),
        ([File("usr/local/x", target="../../../../x")], "extension.paths", "above the root"),
        ([File("usr/local/x", b"1", 0o777)], "extension.modes", "/usr/local/x has the mode 0777"),
        ([File("usr/local/bin/spin", b"other")], "extension.overlap", "/usr/local/bin/spin is in spin and"),
    ],
)
def test_bad_extension_fails_exactly_the_check_meant_for_it(
    tmp_path: Path, files: list[File], check: str, evidence: str
) -> None:
    found = extension_failures([extension(tmp_path, "spin"), extension(tmp_path, "bad", files)])
    assert list(found) == [check]
    assert any(evidence in line for line in found[check]), found[check]


@pytest.mark.parametrize(
    ("manifest", "check", "evidence"),
    [
        (samples.manifest("x", constraint=">= v99.0.0"), "extension.compatible", "wants Talos >= v99.0.0"),
        (samples.manifest("x").replace(b"v1alpha1", b"vbogus"), "extension.manifest", "manifest version 'vbogus'"),
        (samples.manifest("spin"), "extension.unique", "spin is there 2 times"),
        (b"nothing: here\n", "extension.readable", "manifest.yaml: version: Field required"),
        (b"\t", "extension.readable", "no valid YAML"),
    ],
)
def test_bad_manifest_fails_exactly_the_check_meant_for_it(
    tmp_path: Path, manifest: bytes, check: str, evidence: str
) -> None:
    found = extension_failures([extension(tmp_path, "spin"), extension(tmp_path, "bad", manifest=manifest)])
    assert list(found) == [check]
    assert any(evidence in line for line in found[check]), found[check]


def test_folder_that_is_no_extension_and_files_beside_are_refused(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    beside = extension(tmp_path, "spin")
    (beside / "README").write_bytes(b"x")
    found = extension_failures([tmp_path / "none", beside])
    assert set(found) == {"extension.readable", "extension.manifest"}
    assert "no system extension" in found["extension.readable"][0]
    assert "/README lies beside" in found["extension.manifest"][0]


def test_a_module_for_another_kernel_is_named_with_both_releases_before_anything_is_packed(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(samples.kernel("6.18.38-talos"))
    other = "usr/lib/modules/6.12.52-talos/extras/zfs.ko"
    built = "usr/lib/modules/6.18.38-talos/extras/zfs.ko.zst"
    paths = [
        extension(tmp_path, "zfs", [File(other, samples.module(release="6.12.52-talos"))]),
        extension(tmp_path, "spl", [File(built, samples.zstd(samples.module(release="6.12.52-talos")))]),
    ]
    checks = check_extensions(paths, "v1.13.6", "arm64", tmp_path / "vmlinuz").checks
    assert {check.id: check.evidence for check in checks if check.status != "pass"} == {
        "extension.kernel": (
            f"zfs: /{other} is for 6.12.52-talos, the kernel is 6.18.38-talos",
            f"spl: /{built} was built for 6.12.52-talos, the kernel is 6.18.38-talos",
        )
    }
    (tmp_path / "vmlinuz").write_bytes(b"x")
    with pytest.raises(VerifyError, match="vmlinuz: no kernel, but a text: modules can't be held against it"):
        check_extensions(paths, "v1.13.6", "arm64", tmp_path / "vmlinuz")


def test_files_that_two_extensions_carry_alike_do_not_clash(tmp_path: Path) -> None:
    shared = [File("usr/local/lib/libc.so", samples.elf())]
    assert extension_failures([extension(tmp_path, "a", shared), extension(tmp_path, "b", shared)]) == {}


def test_each_extension_may_bring_the_kernels_list_of_modules(tmp_path: Path) -> None:
    paths = [
        extension(tmp_path, name, [File("usr/lib/modules/6.18.38-talos/modules.order", name.encode())])
        for name in ("drbd", "zfs")
    ]
    assert extension_failures(paths) == {}


@pytest.mark.parametrize(("mode", "allowed"), [(0o777, False), (0o1777, True), (0o755, True)])
def test_a_folder_for_everyone_needs_the_sticky_bit(tmp_path: Path, mode: int, allowed: bool) -> None:
    path = extension(tmp_path, "spin")
    folder = path / "rootfs/usr/local/tmp"
    folder.mkdir()
    folder.chmod(mode)
    assert ("extension.modes" not in extension_failures([path])) is allowed


# The command line.


def test_command_line_checks_and_ends_with_one_when_a_check_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = good()
    write(tmp_path / "assets", files_of(spec))
    (tmp_path / "expect.json").write_text(expectation_of(spec).model_dump_json())
    (tmp_path / "plan.json").write_text(json.dumps(plan_of(spec)))
    common = ["--assets", str(tmp_path / "assets"), "--expect", str(tmp_path / "expect.json")]
    assert main(["seal", *common, "--plan", str(tmp_path / "plan.json")]) == 0
    assert f"{len(REQUIREMENTS)} checks: {len(REQUIREMENTS) - len(NOT_HERE)} passed" in capsys.readouterr().out
    assert main(["check", *common]) == 0
    (tmp_path / "assets/boot/vmlinuz").unlink()
    capsys.readouterr()
    assert main(["check", *common, "--format", "json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is False
    assert {check["id"] for check in result["checks"] if check["status"] == "fail"} >= {"layout.complete"}


def test_command_line_checks_extensions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good_one = str(extension(tmp_path, "spin"))
    bad = str(extension(tmp_path, "bad", [File("opt/x", b"1")]))
    arguments = ["extensions", "--talos", "v1.13.6", "--arch", "arm64"]
    assert main([*arguments, good_one]) == 0
    assert main([*arguments, good_one, bad]) == 1
    assert "FAIL  extension.paths" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "--assets", "{tmp}/gone"], "no such folder"),
        (["check", "--assets", "{tmp}", "--expect", "{tmp}/gone.json"], "gone.json: No such file"),
        (["check", "--assets", "{tmp}", "--expect", "{tmp}/bad.json"], "bad.json: document: Invalid JSON"),
        (
            ["seal", "--assets", "{tmp}", "--expect", "{tmp}/empty.json", "--plan", "{tmp}/bad.json"],
            "bad.json: not a plan",
        ),
        (["extensions", "--talos", "newest", "--arch", "arm64", "{tmp}"], "'newest' is no version"),
    ],
)
def test_command_line_says_what_is_wrong_and_ends_with_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "empty.json").write_text("{}")
    assert main([argument.replace("{tmp}", str(tmp_path)) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error


# Boots

BOOTED = '{"way": "uki", "outcome": "booted", "seconds": 29.06, "stages": []}'


def test_the_report_names_the_boots_that_were_tried(tmp_path: Path) -> None:
    write(tmp_path, {"validation/boot-uki.json": BOOTED.encode(), "validation/boot-uki.svg": b"<svg/>"})
    build(tmp_path, good())
    report = json.loads((tmp_path / REPORT).read_text())
    assert {check["id"] for check in report["checks"] if check["status"] != "pass"} == NOT_HERE
    assert report["boots"] == [{"way": "uki", "outcome": "booted", "seconds": 29.06}]
    line = "boot from uki: booted, 29.1 s, timeline in validation/boot-uki.svg"
    assert line in (tmp_path / REPORT_TEXT).read_text().splitlines()
    assert "  validation/boot-uki.svg\n" in (tmp_path / CHECKSUMS).read_text()


def test_the_report_names_who_signed_the_inputs(tmp_path: Path) -> None:
    signers = {"ghcr.io/siderolabs/spin:v0.21.0@sha256:" + "0" * 64: "Sidero Labs", "example.org/a:1@sha256:1": "a key"}
    write(tmp_path, {SIGNATURES: render_signatures(signers).encode()})
    build(tmp_path, good())
    report = json.loads((tmp_path / REPORT).read_text())
    assert {check["id"] for check in report["checks"] if check["status"] != "pass"} == NOT_HERE
    assert report["signatures"] == signers
    lines = (tmp_path / REPORT_TEXT).read_text().splitlines()
    assert "signed by Sidero Labs: 1 of the inputs, named in validation/signatures.json" in lines
    assert f"  {SIGNATURES}\n" in (tmp_path / CHECKSUMS).read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}'])
def test_signatures_that_are_none_are_not_named(text: str, tmp_path: Path) -> None:
    write(tmp_path, {SIGNATURES: text.encode()})
    build(tmp_path, good())
    assert json.loads((tmp_path / REPORT).read_text())["signatures"] == {}


def test_a_record_that_is_none_is_not_named(tmp_path: Path) -> None:
    write(tmp_path, {"validation/boot-iso.json": b"{}"})
    build(tmp_path, good())
    assert json.loads((tmp_path / REPORT).read_text())["boots"] == []
