"""The lab's imager against the recorded structures of the real one, field by field.

Each test turns what came out into the record's own form and compares the two, but for what depends on the input:
offsets, sizes below their class, times, digests. What else differs stands in DIFFERENCES.
"""

from __future__ import annotations

import filecmp
import json
import re
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from embedded.tests.lab_imager.goldens import DIFFERENCES, ENVIRONMENT, EPOCH, VERSIONS, Goldens, check_common
from embedded.tests.lab_imager.readers import Entry, appended, cpio_entries, read_pe, size_class, unzstd, zstd_frames
from embedded.tests.lab_imager.runners import NOBODY

if TYPE_CHECKING:
    from pathlib import Path

    from embedded.tests.lab_imager.runners import RootRunner

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("version", VERSIONS)
def test_kernel_is_a_copy_of_the_input(goldens: Goldens, version: str) -> None:
    record, result = goldens.run(version, "kernel")
    check_common(record, result)
    kernel = result.file.read_bytes()
    assert kernel[:16].hex() == record["magic16"]
    assert kernel[56:60].decode() == record["arm64_magic_at_56"]
    assert size_class(len(kernel)) == record["size_class"]
    assert filecmp.cmp(result.file, goldens.inputs.install / "arm64/vmlinuz", shallow=False)


@pytest.mark.parametrize("version", VERSIONS)
def test_cmdline_is_the_recorded_text(goldens: Goldens, version: str) -> None:
    record, result = goldens.run(version, "cmdline")
    check_common(record, result)
    assert result.file.read_text() == record["text"]
    assert result.file.stat().st_size == record["size"]


@pytest.mark.parametrize(
    ("version", "name"), [("v1.13.6", "initramfs"), ("v1.11.3", "initramfs"), ("v1.11.3", "initramfs-nokmod")]
)
def test_initramfs_has_the_recorded_frames_and_entries(goldens: Goldens, version: str, name: str) -> None:
    record, result = goldens.run(version, name)
    check_common(record, result)
    data = result.file.read_bytes()
    base = (goldens.inputs.install / "arm64/initramfs.xz").read_bytes()
    assert data.startswith(base)
    frames = zstd_frames(data)
    assert [(frame.checksum, frame.fcs_bytes, frame.single_segment) for frame in frames[1:]] == [
        (frame["checksum"], frame["fcs_bytes"], frame["single_segment"]) for frame in record["frames"][1:]
    ]
    assert len(frames) == len(record["frames"]) == 2
    archives = [cpio_entries(unzstd(data[frame.offset : frame.offset + frame.size])) for frame in frames]
    seen = [_entry_record(number, entry) for number, (entries, _) in enumerate(archives) for entry in entries]
    expected = [{key: value for key, value in entry.items() if key != "mtime"} for entry in record["entries"]]
    folders = [entry for entry in expected if entry["mode"].startswith("0o4")]
    assert folders
    for folder in folders:
        folder["nlink"] = 2  # See DIFFERENCES.
    assert seen == expected
    # GNU cpio fills up to its block of 512 bytes.
    assert all((len(unzstd(data[frame.offset : frame.offset + frame.size])) % 512) == 0 for frame in frames)
    appended = {entry.name: entry for entry in archives[1][0]}
    assert appended["extensions.yaml"].data.decode() == record["extensions_yaml"]
    for key, sqsh in record["sqsh"].items():
        if key.startswith("1:"):
            ours = appended[key.removeprefix("1:")].data
            assert ours[:4] == b"hsqs"
            # One record was made without SOURCE_DATE_EPOCH.
            assert int.from_bytes(ours[8:12], "little") == EPOCH
            assert len(ours) % 4096 == sqsh["size"] % 4096 == 0


def _entry_record(frame: int, entry: Entry) -> dict[str, Any]:
    return {
        "frame": frame,
        "name": entry.name,
        "mode": oct(entry.mode),
        "uid": entry.uid,
        "gid": entry.gid,
        "nlink": entry.nlink,
        "size_class": size_class(len(entry.data)),
        "ino": entry.ino,
    }


def test_extensions_without_anything_left_are_the_same_empty_shell(goldens: Goldens) -> None:
    record, result = goldens.run("v1.13.6", "initramfs")
    entries = appended(result.file)
    shells = {name: sqsh for name, sqsh in record["sqsh"].items() if sqsh["size"] == 4096}
    assert list(shells) == ["1:3.sqsh", "1:4.sqsh", "1:5.sqsh"]
    assert len({sqsh["sha256"] for sqsh in shells.values()}) == 1
    assert len({entries[name.removeprefix("1:")] for name in shells}) == 1
    assert {len(entries[name.removeprefix("1:")]) for name in shells} == {4096}


@pytest.mark.parametrize("version", VERSIONS)
def test_modules_dep_joins_the_bases_modules_and_the_extensions(goldens: Goldens, version: str, tmp_path: Path) -> None:
    _, result = goldens.run(version, "initramfs")
    entries = appended(result.file)
    squashfs = goldens.root.lab / "out/modules.dep.sqsh"
    squashfs.write_bytes(entries["modules.dep.sqsh"])
    folder = "usr/lib/modules/6.1.0-50-arm64"
    listing = goldens.root.tool("unsquashfs", "-lls", "/LAB/out/modules.dep.sqsh")
    assert f"squashfs-root/{folder}/modules.dep\n" in listing
    assert ".ko" not in listing
    text = goldens.root.tool("unsquashfs", "-cat", "/LAB/out/modules.dep.sqsh", f"{folder}/modules.dep")
    assert sorted(text.splitlines()) == [
        "extras/drbd.ko:",
        "extras/drbd_transport_tcp.ko: extras/drbd.ko",
        "extras/zfs.ko: kernel/lib/base.ko",
        "kernel/lib/base.ko:",
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_uki_has_the_recorded_sections(goldens: Goldens, version: str) -> None:
    record, result = goldens.run(version, "uki")
    check_common(record, result)
    uki = read_pe(result.file)
    assert result.file.read_bytes()[:16].hex() == record["magic16"]
    assert hex(uki.machine) == record["machine"]
    assert uki.timestamp == record["timestamp"]
    assert [{"name": name, "size_class": size_class(len(data))} for name, data in uki.sections] == record["sections"]
    sections = dict(uki.sections)
    for name, text in record["text"]:
        if ("uki", f"text: {name}") not in DIFFERENCES:
            assert sections[name].rstrip(b"\0").decode() == text
    stub = dict(read_pe(goldens.inputs.install / "arm64/systemd-stub.efi").sections)
    assert sections[".sbat"].rstrip(b"\0") == stub[".sbat"].rstrip(b"\0")
    assert b"systemd-stub,1,The systemd Developers,systemd,257," in sections[".sbat"]
    for name, file in ((".linux", "vmlinuz"), (".initrd", "initramfs.xz")):
        same = sections[name] == (goldens.inputs.install / "arm64" / file).read_bytes()
        assert same, name
    assert sections[".splash"].startswith(b"BM")


@pytest.mark.parametrize("version", VERSIONS)
def test_installer_is_the_recorded_docker_archive(goldens: Goldens, version: str) -> None:
    record, result = goldens.run(version, "installer")
    check_common(record, result)
    with tarfile.open(result.file) as archive:
        members = archive.getmembers()
        manifest = json.load(_file(archive, "manifest.json"))
        config_text = _file(archive, manifest[0]["Config"]).read()
        layers = [_layer_record(archive, name) for name in manifest[0]["Layers"]]
    config = json.loads(config_text)
    digests = _Names()
    recorded = _Names()
    assert [{"name": digests.of(m.name), "mode": oct(m.mode), "mtime": m.mtime, "uid": m.uid} for m in members] == [
        {"name": recorded.of(m["name"]), "mode": m["mode"], "mtime": m["mtime"], "uid": m["uid"]}
        for m in record["tar_members"]
    ]
    assert json.loads(digests.of(json.dumps(manifest))) == json.loads(recorded.of(json.dumps(record["manifest_json"])))
    assert list(config) == list(record["config_json"])
    for field, expected in record["config_json"].items():
        match field:
            case "created":
                assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", config["created"])
            case "rootfs":
                assert config["rootfs"]["type"] == expected["type"]
                assert len(config["rootfs"]["diff_ids"]) == len(expected["diff_ids"])
            case _:
                assert config[field] == expected
    assert len(layers) == record["layers_count"]
    assert layers == [
        [{key: value for key, value in file.items() if key != "uname"} for file in layer["files"]]
        for layer in record["layers"]
    ]


class _Names:
    """Numbers digests in the order in which they appear."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, text: str) -> str:
        return re.sub(r"[0-9a-f]{64}", lambda match: self._known.setdefault(match[0], f"#{len(self._known)}"), text)


def _file(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    assert file is not None
    return file


def _layer_record(archive: tarfile.TarFile, name: str) -> list[dict[str, Any]]:
    with tarfile.open(fileobj=_file(archive, name), mode="r:gz") as layer:
        return [
            {
                "name": member.name,
                "type": member.type.decode(),
                "mode": oct(member.mode),
                "uid": member.uid,
                "gid": member.gid,
                "mtime": member.mtime,
                "size_class": size_class(member.size),
            }
            for member in layer
        ]


def test_installer_boots_the_finished_initramfs(goldens: Goldens, tmp_path: Path) -> None:
    _, initramfs = goldens.run("v1.13.6", "initramfs")
    _, result = goldens.run("v1.13.6", "installer")
    uki = tmp_path / "uki.efi"
    with tarfile.open(result.file) as archive:
        name = json.load(_file(archive, "manifest.json"))[0]["Layers"][-1]
        with tarfile.open(fileobj=_file(archive, name), mode="r:gz") as layer:
            uki.write_bytes(_file(layer, "usr/install/arm64/vmlinuz.efi").read())
    sections = read_pe(uki).sections
    same = dict(sections)[".initrd"] == initramfs.file.read_bytes()
    assert same
    assert [data.decode() for name, data in sections if name == ".profile"] == [
        "ID=main",
        "ID=reset-maintenance\nTITLE=Reset to maintenance mode",
    ]


def test_same_input_gives_the_same_bytes_but_where_the_real_one_does_not(goldens: Goldens, root: RootRunner) -> None:
    """UKI, ISO and disk are the same again; the initramfs differs in its times, the installer in its creation time."""
    for name, kind in (("uki", "uki"), ("iso", "iso"), ("metal", "image")):
        record, first = goldens.run("v1.13.6", name)
        uid = 0 if name == "iso" else NOBODY
        again = root.run(f"again-{name}", record["profile"], "v1.13.6", environment=ENVIRONMENT, uid=uid)
        assert filecmp.cmp(again.file, first.file, shallow=False), kind
        again.file.unlink()
    record, first = goldens.run("v1.13.6", "initramfs")
    again = root.run("again-initramfs", record["profile"], "v1.13.6", environment=ENVIRONMENT)
    contents: list[dict[str, bytes]] = []
    times: list[set[int]] = []
    for result in (first, again):
        data = result.file.read_bytes()
        entries = cpio_entries(unzstd(data[zstd_frames(data)[1].offset :]))[0]
        contents.append({entry.name: entry.data for entry in entries})
        times.append({entry.mtime for entry in entries})
    assert [name for name in contents[0] if contents[0][name] != contents[1].get(name)] == []
    assert times[0].isdisjoint(times[1])
    assert EPOCH not in times[0]
