"""The pure parts: command line, versions, YAML, META, names and sizes."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path

import pytest

from embedded.lab.imager import goyaml
from embedded.lab.imager.base_profiles import built_in
from embedded.lab.imager.boot_loaders import grub_quote, iso_menu, link_bios_images
from embedded.lab.imager.cmdline import Cmdline, build_cmdline
from embedded.lab.imager.contract import CONTRACTS, installed_contract
from embedded.lab.imager.disk import guid, layout, sfdisk_script
from embedded.lab.imager.errors import ImagerError
from embedded.lab.imager.filesystems import xfs_prototype
from embedded.lab.imager.iso import label_arguments, uefi_command, volume_id
from embedded.lab.imager.meta import MetaContents, MetaValue, partition_image
from embedded.lab.imager.oci import parse_reference
from embedded.lab.imager.platforms import PLATFORMS
from embedded.lab.imager.profile import Bootloader
from embedded.lab.imager.profile_reader import parse_profile
from embedded.lab.imager.profile_rules import fill_defaults
from embedded.lab.imager.report import human_size, table
from embedded.lab.imager.secureboot import MEASURED, owner_guid, pcr_policy
from embedded.lab.imager.uki import splash, x86_kernel_version
from embedded.lab.imager.versions import parse_tolerant, satisfies
from embedded.tests.lab_imager.records import GOLDEN, golden

NEWEST = CONTRACTS["v1.13.6"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["console=ttyS9"], "a=1 console=ttyS9 b c=1 c=2"),
        (["console=ttyS1", "console=ttyS2"], "a=1 console=ttyS1 console=ttyS2 b c=1 c=2"),
        (["a=2"], "a=1 a=2 console=x console=y b c=1 c=2"),
        (["-b"], "a=1 console=x console=y c=1 c=2"),
        (["-c=1"], "a=1 console=x console=y b c=2"),
        (["-none"], "a=1 console=x console=y b c=1 c=2"),
        (["-"], "a=1 console=x console=y b c=1 c=2 -"),
        (["new=x y"], "a=1 console=x console=y b c=1 c=2 new=x y"),
    ],
)
def test_custom_arguments_replace_add_and_take_away(arguments: list[str], expected: str) -> None:
    cmdline = Cmdline()
    cmdline.append(["a=1", "console=x", "console=y", "b=", "c=1", "c=2"])
    cmdline.customize(arguments)
    assert str(cmdline) == expected


@pytest.mark.parametrize(
    ("name", "platform", "size", "form", "packing"),
    [
        ("nocloud", "nocloud", 1246, "raw", ".zst"),
        ("openstack", "openstack", 1246, "raw", ".zst"),
        ("aws", "aws", 8192, "raw", ".zst"),
        ("gcp", "gcp", 8192, "raw", ".tar.gz"),
        ("azure", "azure", 8192, "vhd", ".zst"),
        ("oracle", "oracle", 8192, "qcow2", ".zst"),
        ("exoscale", "exoscale", 10240, "qcow2", ".zst"),
        ("vmware", "vmware", 8192, "ova", "raw"),
        ("digital-ocean", "digital-ocean", 8192, "raw", ".gz"),
    ],
)
def test_built_in_profile_of_a_platform(name: str, platform: str, size: int, form: str, packing: str) -> None:
    profile = built_in()[name]
    options = profile.output.image_options
    assert options is not None
    assert (profile.platform, options.disk_size, options.disk_format.value) == (platform, size << 20, form)
    assert profile.output.out_format.value == packing


def test_every_platform_with_disks_has_a_built_in_profile() -> None:
    without = {"metal", "container", "equinixMetal", "packet"}
    assert {name for name in PLATFORMS if name not in built_in()} == without - {"metal"}


@pytest.mark.parametrize(
    ("arch", "platform", "version", "expected"),
    [
        ("amd64", "metal", "v1.13.6", "talos.platform=metal console=tty0 init_on_alloc=1"),
        ("amd64", "metal", "v1.7.0", "talos.platform=metal console=ttyS0 console=tty0 init_on_alloc=1"),
        (
            "amd64",
            "nocloud",
            "v1.13.6",
            "talos.platform=nocloud console=tty1 console=ttyS0 net.ifnames=0 init_on_alloc=1",
        ),
        ("amd64", "metal", "v1.11.3", "talos.platform=metal console=tty0 init_on_alloc=1"),
        ("amd64", "container", "v1.13.6", "talos.platform=container init_on_alloc=1"),
        ("arm64", "upcloud", "v1.13.6", "talos.platform=upcloud net.ifnames=0 init_on_alloc=1"),
        ("amd64", "packet", "v1.13.6", "talos.platform=equinixMetal console=ttyS1,115200n8 init_on_alloc=1"),
        ("arm64", "equinixMetal", "v1.13.6", "talos.platform=equinixMetal console=ttyAMA0,115200 init_on_alloc=1"),
        (
            "arm64",
            "aws",
            "v1.13.6",
            "talos.platform=aws console=tty1 console=ttyS0 net.ifnames=0 init_on_alloc=1",
        ),
        (
            "arm64",
            "vmware",
            "v1.13.6",
            "talos.platform=vmware talos.config=guestinfo console=tty0 console=ttyAMA0 net.ifnames=0 init_on_alloc=1",
        ),
        (
            "amd64",
            "vmware",
            "v1.11.3",
            (
                "talos.platform=vmware talos.config=guestinfo console=tty0 console=ttyS0 earlyprintk=ttyS0,115200 "
                "net.ifnames=0 init_on_alloc=1"
            ),
        ),
        (
            "arm64",
            "gcp",
            "v1.13.6",
            (
                "talos.platform=gcp console=ttyS0 net.ifnames=0 talos.dashboard.disabled=1 "
                "sysctl.kernel.kexec_load_disabled=1 init_on_alloc=1"
            ),
        ),
        (
            "arm64",
            "azure",
            "v1.13.6",
            (
                "talos.platform=azure console=ttyS0,115200n8 earlyprintk=ttyS0,115200 rootdelay=300 net.ifnames=0 "
                "talos.dashboard.disabled=1 sysctl.kernel.kexec_load_disabled=1 init_on_alloc=1"
            ),
        ),
        (
            "amd64",
            "akamai",
            "v1.13.6",
            "talos.platform=akamai console=ttyS0 console=tty0 console=tty1 net.ifnames=0 init_on_alloc=1",
        ),
    ],
)
def test_platform_arguments(arch: str, platform: str, version: str, expected: str) -> None:
    text = f"arch: {arch}\nplatform: {platform}\nversion: {version}\noutput: {{kind: cmdline, outFormat: raw}}\n"
    profile = parse_profile(text, NEWEST)
    fill_defaults(profile, NEWEST)
    assert build_cmdline(profile, NEWEST.quirks(version)).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v1.13.6", (1, 13, 6)),
        ("1.13", (1, 13, 0)),
        ("v1.14.0-alpha.1", (1, 14, 0)),
        ("v1.14.0-1-gabc+x", (1, 14, 0)),
        ("vbogus", None),
        ("", None),
    ],
)
def test_versions_are_read_tolerantly(text: str, expected: tuple[int, int, int] | None) -> None:
    assert parse_tolerant(text) == expected


@pytest.mark.parametrize(
    ("constraint", "fits"),
    [
        (">= v1.0.0", True),
        (">= 1.13.6", True),
        ("> 1.13.6", False),
        (">= v99.0.0", False),
        ("< 1.13.0", False),
        (">=1.12.0 <1.14.0", True),
        (">=1.0.0 <1.5.0 || >=1.13.0", True),
        ("1.13.x", True),
        ("1.12.x", False),
        ("!= 1.13.6", False),
        ("1.13.6", True),
    ],
)
def test_constraints(constraint: str, fits: bool) -> None:
    assert satisfies((1, 13, 6), constraint) is fits


@pytest.mark.parametrize(
    ("constraint", "error"),
    [
        ("foo", 'Could not get version from string: "foo"'),
        ("~1.2.3", 'Could not parse comparator "~" in "~1.2.3"'),
        (">=1.2", 'Could not parse version "1.2" in ">=1.2": No Major.Minor.Patch elements found'),
    ],
)
def test_bad_constraints_are_named(constraint: str, error: str) -> None:
    with pytest.raises(ImagerError) as raised:
        satisfies((1, 13, 6), constraint)
    assert str(raised.value) == error


def test_written_yaml_has_the_layout_of_extensions_yaml() -> None:
    value = {
        "layers": [
            {
                "image": "0.sqsh",
                "metadata": {
                    "version": "20250808",
                    "text": "one\ntwo\n",
                    "constraint": ">= v1.0.0",
                    "empty": "",
                    "yes": "yes",
                    "flag": False,
                    "missing": None,
                    "deep": {"deeper": {"deepest": 1}},
                },
            },
            {"image": "1.sqsh"},
        ]
    }
    expected = """\
layers:
    - image: 0.sqsh
      metadata:
        version: "20250808"
        text: |
            one
            two
        constraint: '>= v1.0.0'
        empty: ""
        "yes": "yes"
        flag: false
        missing: null
        deep:
            deeper:
                deepest: 1
    - image: 1.sqsh
"""
    assert goyaml.dump(value, indent=4) == expected


@pytest.mark.parametrize("version", ["v1.13.6", "v1.11.3"])
def test_every_recorded_echo_of_a_profile_comes_from_its_profile(version: str) -> None:
    contract = CONTRACTS[version]
    records = sorted((GOLDEN / version).glob("*.json"))
    assert len(records) >= 7
    for path in records:
        record = json.loads(path.read_text())
        said = "\n".join(record["stderr_lines"])
        assert "profile ready:\n" in said
        profile = parse_profile(record["profile"], contract)
        fill_defaults(profile, contract)
        assert profile.echo() in said.replace("A-initramfs", "B-initramfs"), path.name


def test_metadata_of_meta_values_is_gzipped_only_when_long() -> None:
    short = MetaContents([MetaValue(10, "hello-meta")])
    assert short.encode(compress=True) == "MHhhPWhlbGxvLW1ldGE="
    long = MetaContents([MetaValue(10, "x" * 300), MetaValue(11, "y")])
    assert gzip.decompress(base64.b64decode(long.encode(compress=True))).decode() == f"0xa={'x' * 300};0xb=y"
    assert base64.b64decode(long.encode(compress=False)).decode() == f"0xa={'x' * 300};0xb=y"


def test_meta_partition_holds_two_equal_blocks_with_sum_and_values() -> None:
    image = partition_image([MetaValue(10, "hello"), MetaValue(11, "w")])
    size = 256 * 1024
    assert len(image) == 1 << 20
    assert image[:size] == image[size : 2 * size]
    assert not image[2 * size :].strip(b"\0")
    block = bytearray(image[:size])
    assert block[:4].hex() == "5a4b3c2d"
    assert block[-4:].hex() == "a5b4c3d2"
    assert (
        block[4:28] == bytes.fromhex("0000000a00000005") + b"hello" + bytes.fromhex("0000000b00000001") + b"w" + b"\0\0"
    )
    total = bytes(block[-36:-4])
    block[-36:-4] = bytes(32)
    assert hashlib.sha256(block).digest() == total


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (2355101696, "2.4 GB"),
        (1048576000, "1.0 GB"),
        (1048576, "1.0 MB"),
        (153 * 10**6, "153 MB"),
        (999, "999 B"),
        (7, "7 B"),
        (82854982, "83 MB"),
    ],
)
def test_sizes_in_words(size: int, expected: str) -> None:
    assert human_size(size) == expected


def test_tables_align_their_columns() -> None:
    assert table([("NAME", "VERSION", "AUTHOR"), ("a-long-name", "1", ""), ("b", "22", "me")]) == [
        "NAME          VERSION   AUTHOR",
        "a-long-name   1",
        "b             22        me",
    ]


def test_labels_become_volume_ids() -> None:
    assert volume_id("Talos-v1.13.6") == "TALOS_V1_13_6"
    assert volume_id("Ä" + "a" * 40) == "A" * 32


def test_iso_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("TZ", "UTC")
    assert [*uefi_command(Path("/s"), Path("/out/x.iso")), *label_arguments("v1.13.6")] == [
        *["xorrisofs", "-e", "--interval:appended_partition_2:all::"],
        *["-append_partition", "2", "0xef", "/s/efiboot.img"],
        *["-partition_cyl_align", "all", "-partition_offset", "16", "-iso_mbr_part_type", "0x83", "-no-emul-boot"],
        *["-m", "efiboot.img", "-iso-level", "3", "-o", "/out/x.iso", "/s", "--"],
        *["-volume_date", "all_file_dates", "=1700000000", "-volume_date", "uuid", "2023111422132000"],
        *["-volid", "TALOS_V1_13_6", "-volset-id", "Talos-v1.13.6"],
    ]


def test_disk_guids_are_those_of_the_record() -> None:
    record = golden("v1.13.6", "metal")
    assert f"Disk identifier (GUID): {guid('talos-image-disk')}" in record["gpt"]
    for partition, text in zip(layout(NEWEST.quirks("v1.13.6")), record["partitions"], strict=True):
        assert f"Partition unique GUID: {guid(partition.label)}\n" in text
        assert f"Partition GUID code: {partition.type_guid} " in text
        assert f"First sector: {partition.start // 512} " in text


@pytest.mark.parametrize(
    ("bootloader", "expected"),
    [
        (Bootloader.SD_BOOT, [("EFI", 1, 2101), ("META", 2102, 1)]),
        (Bootloader.GRUB, [("EFI", 1, 100), ("BIOS", 101, 1), ("BOOT", 102, 2000), ("META", 2102, 1)]),
        (Bootloader.DUAL_BOOT, [("EFI", 1, 2101), ("BIOS", 2102, 1), ("BOOT", 2103, 2000), ("META", 4103, 1)]),
    ],
)
def test_partitions_follow_from_the_boot_loader(bootloader: Bootloader, expected: list[tuple[str, int, int]]) -> None:
    found = layout(NEWEST.quirks("v1.13.6"), bootloader)
    assert [(one.label, one.start >> 20, one.size >> 20) for one in found] == expected


def test_bios_partition_is_marked_for_old_firmware() -> None:
    lines = sfdisk_script(layout(NEWEST.quirks("v1.13.6"), Bootloader.GRUB)).splitlines()
    assert [line.partition("attrs=")[2] for line in lines if 'name="' in line] == ["", '"LegacyBIOSBootable"', "", ""]


@pytest.mark.parametrize(
    ("version", "arch", "wanted", "size", "chosen"),
    [
        ("v1.13.6", "amd64", "", 2246 + 2001, "dual-boot"),
        ("v1.13.6", "amd64", "bootloader: grub", 2246, "grub"),
        ("v1.13.6", "arm64", "", 2246, "sd-boot"),
        ("v1.13.6", "arm64", "bootloader: dual-boot", 2246 + 2001, "dual-boot"),
        ("v1.9.0", "amd64", "", 1246, "grub"),
        ("v1.13.6", "amd64", "secure", 2246, "sd-boot"),
    ],
)
def test_disk_grows_by_what_its_boot_loader_needs(version: str, arch: str, wanted: str, size: int, chosen: str) -> None:
    secure = wanted == "secure"
    text = f"arch: {arch}\nplatform: metal\nversion: {version}\nsecureboot: {str(secure).lower()}\noutput:\n"
    text += f"  kind: image\n  outFormat: raw\n  imageOptions:\n    diskSize: {1246 << 20}\n    diskFormat: raw\n"
    profile = parse_profile(text + ("" if secure or not wanted else f"    {wanted}\n"), NEWEST)
    fill_defaults(profile, NEWEST)
    options = profile.output.image_options
    assert options is not None
    assert (options.disk_size >> 20, options.bootloader.value) == (size, chosen)


def test_v1_11_3_does_not_name_the_boot_loader_that_it_takes_by_itself() -> None:
    text = "arch: amd64\nplatform: metal\noutput:\n  kind: image\n  outFormat: raw\n"
    text += "  imageOptions: {diskSize: 1306525696, diskFormat: raw, bootloader: dual-boot}\n"
    profile = parse_profile(text, CONTRACTS["v1.11.3"])
    fill_defaults(profile, CONTRACTS["v1.11.3"])
    assert profile.echo().endswith("  imageOptions:\n    diskSize: 4453302272\n    diskFormat: raw\n  outFormat: raw\n")
    with pytest.raises(ImagerError, match="line 6: 'none' where a boot loader is wanted"):
        parse_profile(text.replace("dual-boot", "none"), CONTRACTS["v1.11.3"])


def test_bios_images_find_each_other() -> None:
    boot, core = link_bios_images(b"\xeb" * 512, b"\x11" * 1024, 4304896)
    assert (len(boot), len(core)) == (512, 1024)
    assert boot[0x5C:0x64] == (4304896).to_bytes(8, "little")
    assert boot[0x66:0x68] == b"\x90\x90"
    assert core[0x1F4:0x1FC] == (4304897).to_bytes(8, "little")
    assert boot[:0x5C] + boot[0x68:] == b"\xeb" * (512 - 12)
    assert core[:0x1F4] + core[0x1FC:] == b"\x11" * (1024 - 8)


def test_grub_reads_arguments_as_they_are() -> None:
    assert grub_quote('a=$b {c} "d" x\\y;z') == 'a=\\$b \\{c\\} \\"d\\" x\\\\y\\;z'
    menu = iso_menu("console=tty0 a=$b")
    assert "linux /boot/vmlinuz console=tty0 a=\\$b\n" in menu
    assert "linux /boot/vmlinuz console=tty0 a=\\$b talos.experimental.wipe=system\n" in menu
    assert menu.count("initrd /boot/initramfs.xz\n") == 2


def test_xfs_prototype_lists_files_before_folders(tmp_path: Path) -> None:
    root = tmp_path / "boot"
    (root / "a").mkdir(parents=True, mode=0o755)
    (root / "a/inside").write_text("")
    (root / "z").write_text("")
    for path, mode in ((root, 0o755), (root / "a", 0o700), (root / "a/inside", 0o600), (root / "z", 0o644)):
        path.chmod(mode)
    assert xfs_prototype(root).splitlines() == [
        "/",
        "0 0",
        "d--755 0 0",
        f" z ---644 0 0 {root}/z",
        " a d--700 0 0",
        f"  inside ---600 0 0 {root}/a/inside",
        " $",
        "$",
    ]


def test_policies_of_pcr_11_are_those_of_talos(tmp_path: Path) -> None:
    """The values are those of Talos's own test, whose sections hold their names."""
    for name in MEASURED:
        (tmp_path / name).write_text(name)
    sections = {name: tmp_path / name for name in MEASURED}
    assert [pcr_policy(bank, sections).hex() for bank in ("sha256", "sha384", "sha512")] == [
        "c0c4f61f8ac39267a7638cde8029b82a0ccd378b2acbfdffb77ee1f0f9d464ec",
        "e8f6311e36f9ee038df65255ae7c471d1d1f91ce742b98a152be72337f6c937d",
        "207a8217158f9cc521dca50358a593dc61ed9308ef27da9df4ef64d634309160",
    ]


def test_owner_of_keys_follows_from_the_certificate() -> None:
    owner = owner_guid("-----BEGIN CERTIFICATE-----\n")
    assert owner == owner_guid("-----BEGIN CERTIFICATE-----\n") != owner_guid("other")
    assert owner[14] == "4"


def test_older_talos_has_a_smaller_efi_partition() -> None:
    script = sfdisk_script(layout(NEWEST.quirks("v1.10.5")))
    assert f"start=2048, size={1101 * 2048}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B" in script


@pytest.mark.parametrize(
    ("reference", "repository", "tag", "digest"),
    [
        ("ghcr.io/siderolabs/installer-base:v1.13.6", "ghcr.io/siderolabs/installer-base", "v1.13.6", None),
        ("127.0.0.1:5000/drbd:v1", "127.0.0.1:5000/drbd", "v1", None),
        ("alpine", "alpine", None, None),
        ("a/b@sha256:" + "0" * 64, "a/b", None, "sha256:" + "0" * 64),
    ],
)
def test_references(reference: str, repository: str, tag: str | None, digest: str | None) -> None:
    match = parse_reference(reference)
    assert (match["repository"], match["tag"], match["digest"]) == (repository, tag, digest)


@pytest.mark.parametrize("reference", ["", "NOT A REF", "a/B:tag", "a:b c"])
def test_bad_references(reference: str) -> None:
    with pytest.raises(ImagerError, match="could not parse reference"):
        parse_reference(reference)


def test_x86_kernel_names_its_release(tmp_path: Path) -> None:
    kernel = bytearray(4096)
    kernel[0x1F1] = 4
    kernel[0x202:0x206] = b"HdrS"
    kernel[0x20E:0x210] = (0x100).to_bytes(2, "little")
    kernel[0x300:0x320] = b"6.12.1-lab (me@there) #1 SMP\0".ljust(32, b"\0")
    (tmp_path / "bz").write_bytes(kernel)
    assert x86_kernel_version(tmp_path / "bz") == "6.12.1-lab"
    (tmp_path / "other").write_bytes(b"MZ" + bytes(4096))
    assert x86_kernel_version(tmp_path / "other") == ""


def test_splash_is_a_whole_bitmap() -> None:
    picture = splash()
    assert picture[:2] == b"BM"
    assert int.from_bytes(picture[2:6], "little") == len(picture)


def test_image_without_a_known_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImagerError, match="reads its Talos version from"):
        installed_contract(tmp_path / "VERSION")
    (tmp_path / "VERSION").write_text("v1.12.0\n")
    with pytest.raises(ImagerError, match=r"no contract for 'v1\.12\.0' .* put v1\.11\.3 or .* or v1\.13\.6 or"):
        installed_contract(tmp_path / "VERSION")
