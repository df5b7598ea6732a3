"""Outputs of other platforms and forms are booted by their names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ci.boot import console
from ci.boot.machine import Media, qemu
from ci.boot.media import prepare
from ci.boot.model import End, Ending, Stage
from ci.boot.reader import Reader
from ci.boot.request import Options, parse_options, request_of_plan, request_of_report
from ci.boot.ways import Way, parse_start
from ci.common.arch import Arch
from ci.common.errors import BootError, OutputError
from ci.steps.disks.__main__ import main as convert
from ci.steps.normalise.__main__ import main as normalise
from tests.unit.boot.requests import request
from tests.unit.inspect import samples
from tests.unit.inspect.test_virtual_disk import DISK
from tests.unit.planning import plan_of
from tests.unit.planning import request as build
from tests.unit.tools import needs

if TYPE_CHECKING:
    from pathlib import Path

    from ci.boot.model import BootRequest

MIB = 1 << 20
WHOLE = DISK.ljust(-(-len(DISK) // MIB) * MIB, b"\0")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("kernel", (Way.KERNEL, "")),
        ("metal", (Way.METAL, "")),
        ("oracle.qcow2", (Way.METAL, "oracle.qcow2")),
        ("metal.vmdk", (Way.METAL, "metal.vmdk")),
        ("openstack.iso", (Way.ISO, "openstack.iso")),
        ("aws.uki", (Way.UKI, "aws.uki")),
    ],
)
def test_a_start_is_a_way_or_an_output(text: str, start: tuple[Way, str]) -> None:
    assert parse_start(text) == start


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("floppy", "unknown way to boot 'floppy': choose one of kernel, uki, iso, metal"),
        ("oracle.qcow3", "unknown format in output 'oracle.qcow3': did you mean qcow2?"),
        ("aws.cmdline", "aws.cmdline does not boot by itself: choose one of kernel, uki, iso, metal, or a disk image"),
        ("aws.installer", "aws.installer does not boot by itself"),
    ],
)
def test_what_does_not_start_is_refused(text: str, words: str) -> None:
    with pytest.raises(OutputError) as raised:
        parse_start(text)
    assert words in str(raised.value)


async def planned(*outputs: str, name: str) -> BootRequest:
    plan = await plan_of(build(outputs=outputs))
    return request_of_plan(plan, parse_start(name)[0], parse_options(60, None, kvm=False, output=name))


async def test_the_request_names_the_outputs_file() -> None:
    made = await planned("oracle.qcow2", "oracle.raw.xz", name="oracle.qcow2")
    assert (made.way, made.files) == (Way.METAL, {"metal": "oracle/oracle-arm64.qcow2"})
    assert (made.output, made.cloud, made.title) == ("oracle.qcow2", True, "spin-only for arm64 from oracle.qcow2")


async def test_a_machine_without_a_cloud_is_waited_for_as_before() -> None:
    assert [(await planned(name, name=name)).cloud for name in ("nocloud.qcow2", "metal.vhd")] == [False, False]


async def test_assets_without_the_output_are_refused() -> None:
    plan = await plan_of(build(outputs=("oracle.raw.xz",)))
    report = json.dumps({"plan": plan.model_dump(mode="json"), "cmdlines": {}})
    with pytest.raises(BootError, match=r"^there is no oracle\.qcow2 among the assets: build them with --out"):
        request_of_report(report, Way.METAL, "spin-only", Arch.ARM64, Options(60, output="oracle.qcow2"))


# What QEMU gets


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "given.raw"
    path.write_bytes(WHOLE)
    return path


def from_disk(name: str, configuration: str = "") -> BootRequest:
    wanted = request(Way.METAL, output="oracle.qcow2", machine_config=configuration)
    return wanted.model_copy(update={"files": {"metal": name}})


def media(folder: Path, name: str) -> Media:
    (folder / "work").mkdir()
    return prepare(from_disk(name), folder, folder / "work")


@needs("qemu-img")
@pytest.mark.parametrize(
    ("form", "name"), [("qcow2", "qcow2"), ("compressed.qcow2", "qcow2"), ("vhd", "vpc"), ("vmdk", "vmdk")]
)
@pytest.mark.parametrize("packing", ["", "xz"])
def test_qemu_starts_from_the_file_in_its_format(raw: Path, tmp_path: Path, form: str, name: str, packing: str) -> None:
    assert convert([str(raw), str(tmp_path / "disk"), "--format", form, "--epoch=0"]) == 0
    if packing:
        (tmp_path / "disk").write_bytes(samples.xz((tmp_path / "disk").read_bytes()))
    found = media(tmp_path, "disk")
    assert found.form == name
    assert found.image == str(tmp_path / ("work/image.raw" if packing else "disk"))
    command = qemu(from_disk("disk"), found, kvm=False)
    assert f"file={found.image},format={name},if=none,id=disk,snapshot=on" in command


def test_the_disk_is_taken_out_of_an_ova(raw: Path, tmp_path: Path) -> None:
    assert convert([str(raw), str(tmp_path / "disk"), "--format=ova", "--epoch=0"]) == 0
    found = media(tmp_path, "disk")
    assert (found.form, found.image) == ("raw", str(tmp_path / "work/disk.raw"))
    assert (tmp_path / "work/disk.raw").read_bytes() == WHOLE


def test_the_disk_is_taken_out_of_googles_tar(raw: Path, tmp_path: Path) -> None:
    assert normalise(["pack", str(raw), str(tmp_path / "disk"), "--format=tar.gz"]) == 0
    found = media(tmp_path, "disk")
    assert (found.form, found.image) == ("raw", str(tmp_path / "work/disk.raw"))
    assert (tmp_path / "work/disk.raw").read_bytes() == WHOLE


def test_a_raw_disk_is_taken_as_it_is(raw: Path, tmp_path: Path) -> None:
    assert media(tmp_path, raw.name) == Media(image=str(raw))


def test_with_a_machine_configuration_the_disk_is_raw_and_larger(raw: Path, tmp_path: Path) -> None:
    assert convert([str(raw), str(tmp_path / "disk"), "--format=vmdk", "--epoch=0"]) == 0
    (tmp_path / "node.yaml").write_text("machine: {type: worker}\n")
    (tmp_path / "work").mkdir()
    found = prepare(from_disk("disk", "node.yaml"), tmp_path, tmp_path / "work")
    assert found.form == "raw"
    with open(found.image, "rb") as file:  # noqa: PTH123
        assert file.read(len(WHOLE)) == WHOLE


# When it is up


LINES = (
    "[talos] [initramfs] enabling system extension spin v0.22.0",
    "[talos] [initramfs] entering the rootfs",
    "[talos] initialize sequence: 1 phase(s)",
    '[talos] fetching machine config from: "http://169.254.169.254/opc/v2/instance/metadata/user_data"',
)


@pytest.mark.parametrize(("cloud", "up"), [(True, True), (False, False)])
def test_a_clouds_machine_is_up_when_it_asks_for_its_configuration(cloud: bool, up: bool) -> None:
    reader = Reader(request(Way.METAL, cloud=cloud))
    stages = [reader.feed(console.Line(float(number), text)) for number, text in enumerate(LINES)]
    assert (stages[-1] is Stage.READY) is up
    assert reader.decided is up
    verdict = reader.verdict(Ending(End.DECIDED, 4.0, "QEMU"))
    ready = next(check for check in verdict.checks if check.id == "boot.ready")
    assert (ready.status == "pass") is up
