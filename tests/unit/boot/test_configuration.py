"""A boot with a machine configuration: what is taken, what becomes of a patch, and the drives of such a machine."""

from __future__ import annotations

import lzma
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ci.boot.config_drive import write_config_drive
from ci.boot.configuration import MOST, complete, parse_machine_config, without_configuration
from ci.boot.machine import Media, qemu
from ci.boot.media import prepare
from ci.boot.request import with_configuration
from ci.boot.system_disk import SIZE, write_system_disk
from ci.boot.ways import Way
from ci.common.errors import BootError
from ci.inspect.context import Context
from ci.inspect.disk import read_partitions
from ci.inspect.iso import inspect_iso
from ci.inspect.source import open_file
from ci.load.variant import parse_variant
from ci.node.machine_config import NODE, make_machine_config
from ci.node.tailscale import Asked, settings
from tests.unit.boot.requests import request
from tests.unit.boot.test_run import pe

TOP = Path(__file__).parents[3]
PATCH = """# a patch, as machine-config writes it
machine:
  install: {image: "registry.example/installer:v1"}
  kernel:
    modules:
      - name: drbd
        parameters: [usermode_helper=disabled]
      - name: zfs
  sysctls: {net.ipv6.conf.all.forwarding: "1"}
---
apiVersion: v1alpha1
kind: ExtensionServiceConfig
name: tailscale
environment:
  - TS_ROUTES=10.244.0.0/16,fd00:10::/56
"""
WHOLE = "version: v1alpha1\nmachine: {type: worker, token: mine}  # mine\ncluster: {clusterName: mine}\n"


def documents(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))


def test_a_patch_is_put_on_top_of_a_workers_configuration() -> None:
    node, service = documents(complete(PATCH))
    assert service == documents(PATCH)[1]
    assert node["machine"]["type"] == "worker"
    assert node["machine"]["kernel"] == documents(PATCH)[0]["machine"]["kernel"]
    assert node["machine"]["sysctls"] == {"net.ipv6.conf.all.forwarding": "1"}
    assert node["machine"]["install"] == {"disk": "/dev/vda", "wipe": False, "image": "registry.example/installer:v1"}
    assert set(node) == {"version", "debug", "persist", "machine", "cluster"}
    assert set(node["cluster"]) >= {"id", "secret", "controlPlane", "token", "ca"}


def test_documents_without_a_nodes_own_are_a_patch_too() -> None:
    node, service = documents(complete(PATCH.partition("---\n")[2]))
    assert (node["machine"]["type"], service["name"]) == ("worker", "tailscale")


def test_a_whole_configuration_is_taken_as_it_is() -> None:
    assert complete(WHOLE) == WHOLE
    node, *_ = documents(complete("machine: {type: worker, token: mine}\n"))
    assert (node["machine"]["token"], node["cluster"]["clusterName"]) == ("mine", "boot")


@pytest.mark.parametrize("name", ["spin-only", "spin-tailscale"])
def test_what_machine_config_writes_is_a_patch_for_a_boot(name: str) -> None:
    variant = parse_variant(f"variants/{name}.yaml", (TOP / f"variants/{name}.yaml").read_text())
    text = make_machine_config(variant, "v1.13.6", settings(variant, Asked())).files[NODE]
    written, made = documents(text), documents(complete(text))
    assert made[1:] == written[1:]
    assert made[0]["machine"]["kernel"] == written[0]["machine"]["kernel"]
    assert made[0]["machine"]["type"] == "worker"


def test_lists_are_joined_as_talos_joins_them() -> None:
    node, *_ = documents(complete("machine: {network: {nameservers: [1.1.1.1]}}\n"))
    assert node["machine"]["network"] == {"nameservers": ["1.1.1.1"]}
    node, *_ = documents(complete("machine: {kubelet: null}\ncluster: {clusterName: mine}\n"))
    assert (node["machine"]["kubelet"], node["cluster"]["clusterName"]) == ({}, "mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--machine-config: the file is empty: give a node's machine configuration, or node.yaml"),
        ("---\n# nothing\n", "--machine-config: the file is empty"),
        ("a: [", "--machine-config: not YAML: "),
        ("a: \x07", "--machine-config: not YAML: "),
        ("a: !!int x", "--machine-config: not YAML: "),
        ("machine: " + "[" * 5000, "--machine-config:1: nested deeper than 100"),
        ("- op: add\n  path: /machine\n", "--machine-config: a document is a list and not a map: "),
        ("text", "--machine-config: a document is a str and not a map: "),
        ("machines: {}\n", "--machine-config: 'machines' is no key of a machine configuration: "),
        ("apiVersion: v1\nspec: {}\n", "--machine-config: 'apiVersion' is no key of a machine configuration: "),
        ("machine: []\n", "--machine-config: machine is a list and not a map"),
        (
            "machine: {}\n---\ncluster: {}\n",
            "--machine-config: 2 documents without a kind: one of them can be a node's",
        ),
        ("a: " + "x" * MOST, "--machine-config: more than 4 MiB: "),
    ],
)
def test_what_is_no_machine_configuration_is_refused(text: str, message: str) -> None:
    with pytest.raises(BootError) as raised:
        parse_machine_config(text)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_two_configurations_are_refused() -> None:
    given = request(arguments=("a=1", "talos.config=http://10.0.2.2/x"))
    with pytest.raises(BootError, match=r"^--kernel-args has talos\.config=http://10\.0\.2\.2/x, and --machine-config"):
        with_configuration(given)
    made = with_configuration(request(memory=1024))
    assert (made.machine_config, made.memory) == ("machine-config.yaml", 3072)
    assert with_configuration(request(memory=8192)).memory == 8192


def test_the_first_configuration_of_a_command_line_would_win() -> None:
    assert without_configuration("a talos.config=x  b talos.configs=y") == "a b talos.configs=y"
    given = with_configuration(request(cmdline="talos.config=none quiet"))
    command = qemu(given, Media(kernel="/k", initramfs="/i", system="/s", config="/c"), kvm=False)
    assert "quiet console=ttyAMA0 earlycon talos.config=metal-iso" in command


DRIVES = [
    *("-drive", "file=/s,,1,format=raw,if=none,id=system", "-device", "virtio-blk-pci,drive=system"),
    *("-drive", "file=/c,format=raw,if=none,id=config,readonly=on", "-device", "virtio-blk-pci,drive=config"),
]


@pytest.mark.parametrize("way", [Way.KERNEL, Way.UKI, Way.ISO, Way.NETBOOT])
def test_a_configured_machine_has_a_disk_and_a_drive_with_its_configuration_after_what_it_boots_from(way: Way) -> None:
    files = Media(kernel="/k", initramfs="/i", esp="/esp", image="/image")
    plain = qemu(request(way, memory=3072), files, kvm=False)
    command = qemu(with_configuration(request(way)), replace(files, system="/s,1", config="/c"), kvm=False)
    at = command.index("-netdev")
    assert command[at - len(DRIVES) : at] == DRIVES
    rest = [one.replace(" talos.config=metal-iso", "") for one in [*command[: at - len(DRIVES)], *command[at:]]]
    assert rest == plain
    assert way is Way.NETBOOT or any("earlycon talos.config=metal-iso" in one for one in command)


def test_a_configured_disk_image_is_the_disk() -> None:
    command = qemu(with_configuration(request(Way.METAL)), Media(image="/image", config="/c"), kvm=False)
    at = command.index("-netdev")
    assert command[at - 4 : at] == DRIVES[4:]


def test_the_drive_has_the_label_and_the_file_that_talos_looks_for(tmp_path: Path) -> None:
    write_config_drive(tmp_path / "config.iso", PATCH)
    with open_file(tmp_path / "config.iso") as source:
        facts, files = inspect_iso(source, Context())
        assert facts.volume == "metal-iso"
        ((name, content),) = files
        assert (name, content.read_at(0, content.size, name)) == ("config.yaml", PATCH.encode())
    # Without Rock Ridge Linux makes this of it.
    assert b"CONFIG.YAML;1" in (tmp_path / "config.iso").read_bytes()


def test_the_disk_of_an_installed_machine_has_a_meta_partition_and_hardly_any_bytes(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    write_system_disk(disk)
    assert disk.stat().st_size == SIZE == 8 << 30
    assert disk.stat().st_blocks * 512 < 1 << 20
    with open_file(disk) as source:
        (meta,) = read_partitions(source, Context())
        assert (meta.name, meta.type, meta.offset, meta.size) == ("META", "linux", 1 << 20, 1 << 20)
        backup = source.read_at(SIZE - 512, 92, "backup")
        first = source.read_at(512, 92, "header")
        table = source.read_at(1024, 128 * 128, "table")
        assert source.read_at(SIZE - 512 - len(table), len(table), "backup's table") == table
    assert backup[:8] == b"EFI PART"
    assert (backup[24:32], backup[32:40]) == (first[32:40], first[24:32])
    assert int.from_bytes(backup[24:32], "little") == SIZE // 512 - 1


def put(folder: Path, path: str, content: bytes) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def test_the_drives_of_a_configured_machine_are_made_ready(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    put(tmp_path, "boot/vmlinuz", pe())
    put(tmp_path, "boot/initramfs.xz", b"initramfs")
    put(tmp_path, "machine-config.yaml", PATCH.encode())
    media = prepare(with_configuration(request()), tmp_path, work)
    assert (media.config, media.system) == (str(work / "config.iso"), str(work / "system.raw"))
    assert Path(media.system).stat().st_size == SIZE
    with open_file(Path(media.config)) as source:
        _, ((name, content),) = inspect_iso(source, Context())
        assert content.read_at(0, content.size, name).decode() == complete(PATCH)


@pytest.mark.parametrize("packed", [False, True])
def test_a_disk_image_grows_and_stays_as_it_was_among_the_assets(tmp_path: Path, *, packed: bool) -> None:
    work = tmp_path / "work"
    work.mkdir()
    disk = b"first".ljust(1 << 20, b"\1") + bytes(8 << 20)
    put(tmp_path, "metal/metal-arm64.raw", lzma.compress(disk) if packed else disk)
    put(tmp_path, "machine-config.yaml", WHOLE.encode())
    media = prepare(with_configuration(request(Way.METAL)), tmp_path, work)
    assert (media.image, media.system) == (str(work / "system.raw"), "")
    made = Path(media.image)
    assert made.stat().st_size == SIZE
    assert made.stat().st_blocks * 512 < 4 << 20
    with made.open("rb") as file:
        assert file.read(len(disk)) == disk
    if not packed:
        assert (tmp_path / "metal/metal-arm64.raw").read_bytes() == disk


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    put(tmp_path, "iso/metal-arm64.iso", b"iso")
    with pytest.raises(BootError, match=r"^machine-config\.yaml is not among the assets$"):
        prepare(with_configuration(request(Way.ISO)), tmp_path, tmp_path)
