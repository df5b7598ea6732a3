"""Extensions before they are packed: each requirement, and the fault that it is meant for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.verify.extension_images import check_extensions
from ci.verify.model import VerifyError
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File

if TYPE_CHECKING:
    from pathlib import Path


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
    assert "/README is next to" in found["extension.manifest"][0]


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
