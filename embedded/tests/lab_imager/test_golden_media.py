"""The ISO and the disk images against the recorded ones, field by field."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from embedded.tests.lab_imager.goldens import DIFFERENCES, Goldens, check_common
from embedded.tests.lab_imager.runners import as_lab_path

pytestmark = pytest.mark.lab


def test_iso_has_the_recorded_files_and_boot_records(goldens: Goldens) -> None:
    record, result = goldens.run("v1.13.6", "iso")
    check_common(record, result)
    iso = as_lab_path(result.file, goldens.root.lab)
    data = result.file.read_bytes()
    assert data[:16].hex() == record["magic0"] == record["magic16"]
    assert data[32769:32774].decode() == record["pvd_magic_at_32769"]
    files = goldens.root.tool("xorriso", "-indev", iso, "-find", "/", "-exec", "lsdl").splitlines()
    assert sorted(map(_without_large_size, files)) == sorted(map(_without_large_size, record["files"]))
    assert [int(line.split()[4]) for line in files if "loader.conf" in line] == [65]
    command = ["xorriso", "-indev", iso, "-report_el_torito", "plain", "-report_system_area", "plain", "-pvd_info"]
    report = goldens.root.tool(*command).splitlines()
    assert [_boot_line(line) for line in report] == [_boot_line(line) for line in record["boot_report"]]


def test_iso_of_v1_11_3_boots_by_grub_too(goldens: Goldens) -> None:
    record, result = goldens.run("v1.11.3", "iso")
    check_common(record, result)
    iso = as_lab_path(result.file, goldens.root.lab)
    assert result.file.read_bytes()[:16].hex() == record["magic0"]
    files = goldens.root.tool("xorriso", "-indev", iso, "-find", "/", "-exec", "lsdl").splitlines()
    kept = [line for line in files if not re.search(r"/(i386-pc|locale)/(?!eltorito.img|normal.mod)", line)]
    # GRUB's own files have their build's sizes, and its menu that of the lab's blanks: see DIFFERENCES.
    assert sorted(map(_without_size, kept)) == sorted(map(_without_size, record["files"]))
    command = ["xorriso", "-indev", iso, "-report_el_torito", "plain", "-report_system_area", "plain", "-pvd_info"]
    report = goldens.root.tool(*command).splitlines()
    assert [_label_of(line) for line in report] == [_label_of(line) for line in record["boot_report"]]


def _without_size(line: str) -> str:
    fields = line.split()
    return " ".join([*fields[:4], *fields[5:]])


def _label_of(line: str) -> str:
    """What does not follow from sizes: the label, and for boot images, names and ids their text."""
    label, _, value = line.partition(":")
    label = label.strip()
    if label == "El Torito boot img":
        return f"{label}: {' '.join(value.split()[:4])}"
    telling = ("El Torito img path", "El Torito img opts", "System area options", "System area summary")
    ids = ("Volume Id", "Volume Set Id", "Creation Time", "GPT disk GUID", "GPT partition GUID", "GPT type GUID")
    return f"{label}: {value.strip()}" if label in {*telling, *ids} else label


def _without_large_size(line: str) -> str:
    """Blanks out a file's size but for the small ones that follow from the contract."""
    fields = line.split()
    return " ".join([*fields[:4], fields[4] if int(fields[4]) <= 2048 else "N", *fields[5:]])


def _boot_line(line: str) -> str:
    """Blanks out numbers that follow from the input's size, and what DIFFERENCES names."""
    label, _, value = line.partition(":")
    label = label.strip()
    if ("iso", f"boot_report: {label}") in DIFFERENCES:
        return label
    if label in {"El Torito boot img", "MBR partition"}:
        value = " ".join(value.split()[:-1] if "img" in label else value.split()[:3])
    elif label in {"El Torito img blks", "ISO image size/512", "El Torito catalog"} or label.startswith(
        "Drive current"
    ):
        value = ""
    return f"{label}: {value.strip()}"


@pytest.mark.parametrize("name", ["metal", "metal-meta", "nocloud"])
def test_disk_has_the_recorded_partitions_and_files(goldens: Goldens, name: str) -> None:
    record, result = goldens.run("v1.13.6", name)
    check_common(record, result)
    compressed = disk = result.file
    if disk.suffix == ".xz":
        # Stream header and block flags; the block's sizes follow.
        assert disk.read_bytes()[:14].hex() == record["outer_magic16"][:28]
        disk = disk.with_suffix("")
        goldens.root.tool("xz", "-dk", as_lab_path(compressed, goldens.root.lab))
    inside = as_lab_path(disk, goldens.root.lab)
    with disk.open("rb") as file:
        start = file.read(1024)
    assert start[:16].hex() == record["magic16"]
    assert start[510:512].hex() == record["mbr_sig"]
    assert start[512:520].decode() == record["gpt_magic"]
    if name != "nocloud":
        assert disk.stat().st_size == record["size"]
        # Only what is not zero takes room.
        assert disk.stat().st_blocks * 512 < 256 << 20
    table = json.loads(goldens.root.tool("sfdisk", "--json", inside))["partitiontable"]
    text = "\n".join(record["gpt"])
    assert f"({_guid(table['id'])}" in text.replace("Disk identifier (GUID): ", "(")
    assert f"First usable sector is {table['firstlba']}, last usable sector is {table['lastlba']}" in text
    assert [_partition_record(partition) for partition in table["partitions"]] == [
        _parse_partition(partition) for partition in record["partitions"]
    ]
    listing = goldens.root.tool("mdir", "-/", "-b", "-i", f"{inside}@@1048576", "::").splitlines()
    assert listing == record["efi_files"]
    conf = goldens.root.tool("mtype", "-i", f"{inside}@@1048576", "::/loader/loader.conf")
    assert conf.endswith("\n\ntimeout 10\n")
    if disk != compressed:
        disk.unlink()


def _guid(text: str) -> str:
    return text.upper()


def _partition_record(partition: dict[str, Any]) -> dict[str, str | int]:
    return {
        "type": _guid(partition["type"]),
        "guid": _guid(partition["uuid"]),
        "first": partition["start"],
        "last": partition["start"] + partition["size"] - 1,
        "name": partition["name"],
    }


def _parse_partition(text: str) -> dict[str, str | int]:
    fields = dict(line.split(": ", 1) for line in text.strip().splitlines())
    return {
        "type": fields["Partition GUID code"].split()[0],
        "guid": fields["Partition unique GUID"],
        "first": int(fields["First sector"].split()[0]),
        "last": int(fields["Last sector"].split()[0]),
        "name": fields["Partition name"].strip("'"),
    }
