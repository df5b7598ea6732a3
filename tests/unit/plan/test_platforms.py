"""Platforms and forms as outputs: what is planned for each row, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ci.common.arch import Arch
from ci.common.errors import OutputError, PlanError
from ci.common.kinds import KINDS, OF_PLATFORMS, PLATFORM_KINDS, kind_of_output
from ci.common.platforms import CALLED, PLATFORMS, BootMethod
from ci.plan.model import Plan
from ci.plan.outputs import FORMS, Compression, DiskFormat, Layout, output_names, parse_disk_size, parse_outputs
from ci.plan.profile import profiles
from tests.unit.cozystack import DATA
from tests.unit.planning import plan_of, request, variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.plan.model import PlannedOutput

MIB, GIB = 1 << 20, 1 << 30
#: A Talos that has all platforms of v1.13.
TALOS_13, TALOS_11 = "v1.6.2", "v0.38.2"


async def planned(*names: str, arch: Arch = Arch.ARM64, tag: str = TALOS_13) -> tuple[PlannedOutput, ...]:
    wanted = request(arch=arch, tag=tag, outputs=names)
    return (await plan_of(replace(wanted, base_url=url_for(names)))).outputs


def url_for(names: tuple[str, ...]) -> str | None:
    scripts = any(output.kind.needs_base_url for output in parse_outputs(names))
    return "http://192.168.1.10:8080/assets" if scripts else None


async def line(platform: str, arch: Arch) -> str:
    try:
        (output,) = await planned(platform, arch=arch)
    except OutputError as error:
        return str(error)
    size = f", {output.disk_size // MIB} MiB" if output.disk_size else ""
    notes = "".join(f"\n  {note}" for note in output.notes)
    return f"{output.name}: {output.imager_kind} of {output.platform} in {output.path}{size}{notes}"


async def lines() -> list[str]:
    return [f"{name} {arch}: {await line(name, arch)}" for name in PLATFORMS for arch in Arch]


def test_what_people_call_platforms_leads_to_one_and_is_no_name_itself() -> None:
    assert set(CALLED.values()) <= set(PLATFORMS)
    assert not set(CALLED) & {name.lower() for name in (*PLATFORMS, *KINDS)}


async def test_every_platform_is_planned_as_stored() -> None:
    assert "\n".join([*await lines(), ""]) == (DATA / "platforms.txt").read_text()


def forms_of(platform: str) -> Iterator[str]:
    row = PLATFORMS[platform]
    if BootMethod.DISK in row.boots:
        yield from (f"{platform}.{form}" for form in FORMS)
    for form, method in OF_PLATFORMS.items():
        if method is None or method in row.boots:
            yield f"{platform}.{form}"


@pytest.mark.parametrize("platform", sorted({*PLATFORMS} - {"alibabacloud"}))
async def test_every_form_of_a_platform_has_a_file_of_its_own_and_a_run_for_that_platform(platform: str) -> None:
    arch = Arch.AMD64
    for layout in Layout:
        names = tuple(forms_of(platform))
        plan = await plan_of(replace(request(arch=arch, outputs=names, layout=layout), base_url=url_for(names)))
        assert len({output.path for output in plan.outputs}) == len(plan.outputs) == len(list(forms_of(platform)))
        assert {output.platform for output in plan.outputs} == {platform}
        documents = profiles(plan)
        assert {documents[output.kind_name]["platform"] for output in plan.outputs} == {platform}
        assert Plan.parse(plan.to_json()) == plan


async def test_forms_of_a_disk_share_a_run_and_what_is_no_disk_has_another() -> None:
    plan = await plan_of(request(outputs=("oracle.qcow2", "oracle.raw.xz", "oracle.uki", "oracle.cmdline")))
    assert list(profiles(plan)) == ["initramfs", "oracle", "oracle.cmdline", "oracle.uki"]
    assert profiles(plan)["oracle"]["output"] == {
        "kind": "image",
        "imageOptions": {"diskSize": 8 * GIB - 1000 * MIB, "diskFormat": "raw"},
        "outFormat": ".xz",
    }


async def test_the_forms_of_disk_images() -> None:
    found = await planned(*(f"metal.{form}" for form in FORMS))
    assert [(output.name, output.disk_format, output.compression, output.media_type) for output in found] == [
        ("metal.compressed.qcow2", DiskFormat.COMPRESSED_QCOW2, Compression.NONE, "application/x-qemu-disk"),
        ("metal.ova", DiskFormat.OVA, Compression.NONE, "application/x-tar"),
        ("metal.qcow2", DiskFormat.QCOW2, Compression.NONE, "application/x-qemu-disk"),
        ("metal.qcow2.gz", DiskFormat.QCOW2, Compression.GZIP, "application/gzip"),
        ("metal.qcow2.xz", DiskFormat.QCOW2, Compression.XZ, "application/x-xz"),
        ("metal.qcow2.zst", DiskFormat.QCOW2, Compression.ZSTD, "application/zstd"),
        ("metal.raw", DiskFormat.RAW, Compression.NONE, "application/vnd.efi.img"),
        ("metal.raw.gz", DiskFormat.RAW, Compression.GZIP, "application/gzip"),
        ("metal.raw.tar.gz", DiskFormat.RAW, Compression.TAR, "application/gzip"),
        ("metal.raw.xz", DiskFormat.RAW, Compression.XZ, "application/x-xz"),
        ("metal.raw.zst", DiskFormat.RAW, Compression.ZSTD, "application/zstd"),
        ("metal.vhd", DiskFormat.VHD, Compression.NONE, "application/x-vhd-disk"),
        ("metal.vhd.gz", DiskFormat.VHD, Compression.GZIP, "application/gzip"),
        ("metal.vhd.xz", DiskFormat.VHD, Compression.XZ, "application/x-xz"),
        ("metal.vhd.zst", DiskFormat.VHD, Compression.ZSTD, "application/zstd"),
        ("metal.vmdk", DiskFormat.VMDK, Compression.NONE, "application/x-vmdk-disk"),
    ]
    assert {output.imager_file for output in found} == {"metal-arm64.raw"}
    assert all(output.path == f"metal/metal-arm64.{output.name.removeprefix('metal.')}" for output in found)


async def test_what_metal_has_by_another_name_is_the_same_output() -> None:
    assert await planned("metal.iso", "metal.cmdline", "metal.uki", "metal.installer") == await planned(
        "iso", "cmdline", "uki", "installer"
    )


async def test_a_plan_without_new_forms_is_written_as_before() -> None:
    plan = await plan_of(request(outputs=("metal", "aws", "oracle")))
    assert [("diskFormat" in output) for output in plan.model_dump(mode="json")["outputs"]] == [False, False, True]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("aws.iso", ("machines of Amazon Web Services do not boot from an ISO, but from a disk image: choose one of "
         "aws.raw.xz, aws.cmdline, aws.uki, aws.installer")),
        ("vultr.raw", ("machines of Vultr do not boot from a disk image, but from an ISO or the network: choose one "
         "of vultr.cmdline, vultr.uki, vultr.installer, vultr.iso, vultr.ipxe")),
        ("equinixMetal.raw", ("machines of Equinix Metal do not boot from a disk image, but from the network: choose "
         "one of equinixMetal.cmdline, equinixMetal.uki, equinixMetal.installer, equinixMetal.ipxe")),
        ("aws.kernel", "the kernel is the same on all platforms, write 'kernel'"),
        ("aws.initramfs", "the initramfs is the same on all platforms, write 'initramfs'"),
    ],
)  # fmt: skip
def test_a_form_that_a_platform_does_not_have_is_refused(name: str, message: str) -> None:
    with pytest.raises(OutputError) as raised:
        parse_outputs([name])
    assert str(raised.value) == f"output {name!r}: {message}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("aws.zip", "unknown format in output 'aws.zip': choose one of " + ", ".join(
            [*FORMS, "cmdline", "uki", "installer"])),
        ("vultr.zip", "unknown format in output 'vultr.zip': choose one of cmdline, uki, installer, iso, ipxe"),
        ("openstack.qcow", "unknown format in output 'openstack.qcow': did you mean qcow2?"),
        ("oracel", "unknown output 'oracel': did you mean oracle?"),
        ("oracel.qcow2", "unknown output 'oracel.qcow2': did you mean oracle.qcow2?"),
        ("linode", "unknown output 'linode': Talos calls this platform akamai, write 'akamai'"),
        ("Hetzner", "unknown output 'Hetzner': Talos calls this platform hcloud, write 'hcloud'"),
        ("proxmox.qcow2", "unknown output 'proxmox.qcow2': Talos calls this platform nocloud, write 'nocloud.qcow2'"),
        ("aws.", "output 'aws.' ends before its form: write 'aws', or a form behind the dot"),
        ("kernel.", "output 'kernel.' ends before its form: write 'kernel', or a form behind the dot"),
    ],
)  # fmt: skip
def test_a_name_that_does_not_exist_is_refused_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(OutputError) as raised:
        parse_outputs([name])
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("name", "tag", "message"),
    [
        ("digital-ocean", TALOS_13, ("output 'digital-ocean.raw.gz': Talos lists the platform digital-ocean "
         "(DigitalOcean) for amd64 only, not for arm64: build it with --arch amd64, or leave it out")),
        ("vultr.cmdline", TALOS_13, ("output 'vultr.cmdline': Talos lists the platform vultr (Vultr) for amd64 "
         "only, not for arm64: build it with --arch amd64, or leave it out")),
        ("alibabacloud", TALOS_13, ("output 'alibabacloud.qcow2': Talos has the platform alibabacloud since v1.14, and "
         "this is Talos v1.13.6: build for a CozyStack release with a newer one, or leave the output out")),
    ],
)  # fmt: skip
async def test_a_platform_that_does_not_fit_is_refused(name: str, tag: str, message: str) -> None:
    with pytest.raises(OutputError) as raised:
        await planned(name, tag=tag)
    assert str(raised.value) == message


async def test_a_platform_that_is_younger_for_arm64_is_refused() -> None:
    (output,) = parse_outputs(["vmware"])
    with pytest.raises(OutputError) as raised:
        output.check_platform(Arch.ARM64, "v1.10.7")
    assert str(raised.value) == (
        "output 'vmware.ova': Talos has the platform vmware for arm64 since v1.11, and this is Talos v1.10.7: build it "
        "with --arch amd64, or leave it out"
    )
    output.check_platform(Arch.AMD64, "v1.10.7")
    output.check_platform(Arch.ARM64, "v1.11.3")


async def test_hetzner_is_built_for_arm64_with_a_note() -> None:
    (arm64,), (amd64,) = await planned("hcloud"), await planned("hcloud", arch=Arch.AMD64)
    assert amd64.notes == ()
    assert len(arm64.notes) == 1
    assert "Hetzner rents arm64 machines (CAX)" in arm64.notes[0]


def test_a_signature_that_talos_does_not_list_is_noted() -> None:
    aws, nocloud, cmdline = (parse_outputs([name])[0] for name in ("aws", "nocloud", "kernel"))
    assert aws.platform_notes(Arch.ARM64, "v1.14.0", signed=True) == (
        "is signed for secure boot, which Talos does not list for the platform aws",
    )
    for output in (nocloud, cmdline):
        assert output.platform_notes(Arch.ARM64, "v1.13.6", signed=True) == ()
    assert aws.platform_notes(Arch.ARM64, "v1.14.0", signed=False) == ()


def test_secure_boot_on_azure_is_talos_own_from_v1_14_on() -> None:
    (azure,) = parse_outputs(["azure"])
    assert azure.platform_notes(Arch.ARM64, "v1.14.0", signed=True) == ()
    assert azure.platform_notes(Arch.ARM64, "v1.13.6", signed=True) == (
        "is signed for secure boot, which Talos does not list for the platform azure",
    )


# Sizes


async def sized(name: str, size: str | None, arch: Arch = Arch.ARM64, tag: str = TALOS_13) -> int | None:
    wanted = request(arch=arch, tag=tag, outputs=(name,))
    return (await plan_of(replace(wanted, disk_size=parse_disk_size(size)))).outputs[0].disk_size


@pytest.mark.parametrize(
    ("name", "size", "arch", "tag", "expected"),
    [
        # What the imager adds is left out beforehand: 1000 MiB, and GRUB's partitions on amd64.
        ("aws", None, Arch.ARM64, TALOS_13, 8 * GIB - 1000 * MIB),
        ("aws", None, Arch.AMD64, TALOS_13, 8 * GIB - 3001 * MIB),
        ("aws", None, Arch.ARM64, TALOS_11, 8 * GIB - 1000 * MIB),
        ("exoscale", None, Arch.ARM64, TALOS_13, 10 * GIB - 1000 * MIB),
        ("openstack", None, Arch.ARM64, TALOS_13, 1246 * MIB),
        ("metal", None, Arch.ARM64, TALOS_13, 1246 * MIB),
        ("metal", "4GiB", Arch.ARM64, TALOS_13, 4 * GIB - 1000 * MIB),
        ("openstack.qcow2", "3000MiB", Arch.ARM64, TALOS_13, 2000 * MIB),
        ("gcp", "10G", Arch.ARM64, TALOS_13, 10 * GIB - 1000 * MIB),
        ("metal", "2246M", Arch.ARM64, TALOS_13, 1246 * MIB),
        ("iso", None, Arch.ARM64, TALOS_13, None),
    ],
)
async def test_the_size_of_a_disk(name: str, size: str | None, arch: Arch, tag: str, expected: int | None) -> None:
    assert await sized(name, size, arch, tag) == expected


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("metal", "2245MiB", ("output 'metal.raw.zst': bad disk size 2245 MiB: an image of Talos v1.13.6 for arm64 has "
         "2246 MiB to 12 GiB; Talos makes use of a larger disk when it starts on one")),
        ("aws", "13GiB", ("output 'aws.raw.xz': bad disk size 13 GiB: an image of Talos v1.13.6 for arm64 has "
         "2246 MiB to 12 GiB; Talos makes use of a larger disk when it starts on one")),
        ("gcp", "8500MiB", ("output 'gcp.raw.tar.gz': bad disk size 8500 MiB: Google Cloud takes disks of whole GiB "
         "only")),
    ],
)  # fmt: skip
async def test_a_size_that_a_disk_cannot_have_is_refused(name: str, size: str, message: str) -> None:
    with pytest.raises(OutputError) as raised:
        await sized(name, size)
    assert str(raised.value) == message


async def test_a_size_without_a_disk_is_refused() -> None:
    with pytest.raises(PlanError, match=r"^a disk size is given, and none of the outputs is a disk image \(iso\)"):
        await sized("iso", "4GiB")


@pytest.mark.parametrize("text", ["", "8", "8GB", "8gib", "0GiB", "-8GiB", "8.5GiB", " 8GiB", "\uff18GiB", "8GiB\n"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OutputError) as raised:
        parse_disk_size(text)
    assert str(raised.value).startswith("bad disk size ")
    assert "8GiB or 2500MiB" in str(raised.value)


async def test_boards_and_signatures_have_one_boot_loader_and_less_is_added() -> None:
    text = (
        "extensions: {add: [spin]}\n"
        f"overlay: {{name: rpi, image: ghcr.io/siderolabs/sbc-raspberrypi:v1@sha256:{'5' * 64}}}\n"
    )
    plan = await plan_of(request(variant(text), arch=Arch.AMD64, outputs=("aws.raw",)))
    assert plan.outputs[0].disk_size == 8 * GIB - 1000 * MIB


# The table


def test_names_are_listed_and_taken() -> None:
    assert set(KINDS) | set(PLATFORM_KINDS) | {"upstream", "vultr", "equinixMetal"} <= set(output_names())
    assert {"aws.qcow2", "metal.ova", "nocloud.iso", "openstack.compressed.qcow2"} <= set(output_names())
    for name in output_names():
        assert parse_outputs([name])


def test_the_kind_of_an_output_is_found_by_its_name() -> None:
    names = ("metal.raw.xz", "aws.qcow2.xz", "aws.cmdline", "nocloud.installer", "kernel")
    assert [kind_of_output(name).name for name in names] == [
        "metal", "aws", "aws.cmdline", "nocloud.installer", "kernel",
    ]  # fmt: skip


def test_a_platforms_form_is_one_that_there_is() -> None:
    for platform in PLATFORMS.values():
        assert (platform.form in FORMS) is (BootMethod.DISK in platform.boots)
