"""The table of outputs, and the words by which they are asked for."""

from __future__ import annotations

import pytest

from ci.common.arch import Arch
from ci.common.errors import OutputError
from ci.common.kinds import KINDS, Initramfs
from ci.plan.outputs import Layout, output_names, parse_layout, parse_outputs


def names(*asked: str, layout: Layout = Layout.BOOT) -> list[str]:
    return [output.name for output in parse_outputs(asked, layout)]


def paths(layout: Layout, arch: Arch, *asked: str) -> list[str]:
    return [output.path(arch, layout) for output in parse_outputs(asked, layout)]


ALL = ("kernel", "initramfs", "cmdline", "ipxe", "uki", "installer", "iso", "metal", "nocloud")


def test_the_kinds_are_these() -> None:
    assert tuple(KINDS) == ALL


def test_names_are_taken_apart_at_commas_and_put_into_the_tables_order() -> None:
    assert names("installer,kernel", " initramfs ") == ["kernel", "initramfs", "installer"]


def test_what_is_asked_for_twice_comes_once() -> None:
    assert names("kernel", "kernel", "upstream") == names("upstream")


def test_upstreams_outputs_are_the_six_that_its_makefile_makes() -> None:
    assert names("upstream") == ["kernel", "initramfs", "installer", "iso", "metal.raw.xz", "nocloud.raw.xz"]


def test_a_disk_image_is_packed_with_zstd_unless_upstreams_layout_is_wanted() -> None:
    assert names("metal", "nocloud") == ["metal.raw.zst", "nocloud.raw.zst"]
    assert names("metal", "nocloud", layout=Layout.UPSTREAM) == ["metal.raw.xz", "nocloud.raw.xz"]


def test_one_disk_image_can_be_had_in_all_formats() -> None:
    assert names("metal.raw", "metal.raw.xz", "metal.raw.zst") == ["metal.raw", "metal.raw.xz", "metal.raw.zst"]


def test_the_boot_layout() -> None:
    assert paths(Layout.BOOT, Arch.ARM64, *ALL) == [
        "boot/vmlinuz",
        "boot/initramfs.xz",
        "cmdline/cmdline-metal-arm64",
        "boot/metal-arm64.ipxe",
        "uki/metal-arm64-uki.efi",
        "installer/installer-arm64.tar",
        "iso/metal-arm64.iso",
        "metal/metal-arm64.raw.zst",
        "nocloud/nocloud-arm64.raw.zst",
    ]


def test_the_upstream_layout() -> None:
    assert paths(Layout.UPSTREAM, Arch.AMD64, "upstream") == [
        "kernel-amd64",
        "initramfs-metal-amd64.xz",
        "installer-amd64.tar",
        "metal-amd64.iso",
        "metal-amd64.raw.xz",
        "nocloud-amd64.raw.xz",
    ]


def test_what_the_imager_writes() -> None:
    assert [output.imager_file(Arch.ARM64) for output in parse_outputs(ALL)] == [
        "kernel-arm64",
        "initramfs-metal-arm64.xz",
        "cmdline-metal-arm64",
        "cmdline-metal-arm64",
        "metal-arm64-uki.efi",
        "installer-arm64.tar",
        "metal-arm64.iso",
        "metal-arm64.raw",
        "nocloud-arm64.raw",
    ]


def test_what_the_imager_calls_them() -> None:
    assert [(kind.imager_kind, kind.platform) for kind in KINDS.values()] == [
        ("kernel", "metal"),
        ("initramfs", "metal"),
        ("cmdline", "metal"),
        ("cmdline", "metal"),
        ("uki", "metal"),
        ("installer", "metal"),
        ("iso", "metal"),
        ("image", "metal"),
        ("image", "nocloud"),
    ]


def test_what_embeds_the_initramfs() -> None:
    assert {name: kind.initramfs for name, kind in KINDS.items()} == {
        "kernel": Initramfs.NONE,
        "initramfs": Initramfs.BUILT,
        "cmdline": Initramfs.NONE,
        "ipxe": Initramfs.NONE,
        "uki": Initramfs.READY,
        "installer": Initramfs.READY,
        "iso": Initramfs.READY,
        "metal": Initramfs.READY,
        "nocloud": Initramfs.READY,
    }


def test_what_can_be_customized() -> None:
    assert [name for name, kind in KINDS.items() if not kind.takes_kernel_args] == ["kernel", "initramfs"]
    assert [name for name, kind in KINDS.items() if not kind.takes_meta] == ["kernel", "initramfs", "installer"]


def test_media_types_follow_the_packing() -> None:
    assert [output.media_type for output in parse_outputs(["iso,metal.raw,metal.raw.xz,metal.raw.zst"])] == [
        "application/vnd.efi.iso", "application/vnd.efi.img", "application/x-xz", "application/zstd",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "privileged"),
    [
        ("v1.11.3", ["metal.raw.zst", "nocloud.raw.zst"]),
        ("v1.12.7", ["metal.raw.zst", "nocloud.raw.zst"]),
        ("v1.13.0-beta.1", []),
        ("v1.13.6", []),
        ("v2.0.0", []),
    ],
)
def test_only_disk_images_of_old_imagers_need_privileges(version: str, privileged: list[str]) -> None:
    assert [output.name for output in parse_outputs(ALL) if output.privilege(version)] == privileged


def test_a_privilege_is_explained() -> None:
    (metal,) = parse_outputs(["metal"])
    assert metal.privilege("v1.12.7") == (
        "the imager of Talos v1.12.7 partitions a disk image through a loop device and mounts it; "
        "from v1.13 on it does without"
    )


FORMS = (
    "raw, raw.xz, raw.zst, raw.gz, raw.tar.gz, qcow2, qcow2.xz, qcow2.zst, qcow2.gz, compressed.qcow2, vhd, vhd.xz, "
    "vhd.zst, vhd.gz, vmdk, ova"
)
FURTHER = "cmdline, uki, installer, iso, ipxe"
CHOICE = (
    "choose from kernel, initramfs, cmdline, ipxe, uki, installer, iso, metal, nocloud, upstream, the platforms aws, "
    "gcp, equinixMetal, azure, digital-ocean, openstack, vmware, akamai, cloudstack, hcloud, oracle, upcloud, vultr, "
    f"exoscale, opennebula, scaleway, alibabacloud, and these with a form, for example openstack.qcow2: {FORMS}, "
    "cmdline, uki, installer, iso, ipxe"
)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], f"no output is asked for: {CHOICE}"),
        ([" , "], f"no output is asked for: {CHOICE}"),
        (["kernal"], "unknown output 'kernal': did you mean kernel?"),
        (["qcow2"], f"unknown output 'qcow2': {CHOICE}"),
        (
            ["metal.zip"],
            f"unknown format in output 'metal.zip': choose one of {FORMS}, cmdline, uki, installer, iso, ipxe",
        ),
        (["iso.xz"], "output 'iso.xz': iso has no formats, write 'iso'"),
    ],
)
def test_an_output_that_does_not_exist_is_refused(asked: list[str], message: str) -> None:
    with pytest.raises(OutputError) as raised:
        parse_outputs(asked)
    assert str(raised.value) == message


def test_all_names_are_listed_and_all_listed_names_are_taken() -> None:
    assert {
        *ALL, "metal.raw", "metal.raw.xz", "metal.raw.zst", "nocloud.raw", "nocloud.raw.xz", "nocloud.raw.zst",
        "upstream",
    } <= set(output_names())  # fmt: skip
    assert len(set(output_names())) == len(output_names())
    assert all(parse_outputs([name]) for name in output_names())


def test_a_layout_is_read_and_another_word_is_refused() -> None:
    assert [parse_layout("boot"), parse_layout("upstream")] == [Layout.BOOT, Layout.UPSTREAM]
    with pytest.raises(OutputError) as raised:
        parse_layout("flat")
    assert str(raised.value) == "unknown layout 'flat': choose one of boot, upstream"


def test_a_version_that_is_none_is_refused() -> None:
    (metal,) = parse_outputs(["metal"])
    with pytest.raises(OutputError, match=r"^bad Talos version 'latest': it looks like v1\.13\.6$"):
        metal.privilege("latest")
