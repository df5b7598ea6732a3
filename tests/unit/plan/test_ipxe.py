"""Scripts of iPXE: planned with a base URL, written with the imager's arguments, and read again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ci.common.arch import Arch
from ci.common.errors import OutputError, PlanError
from ci.inspect.inspect import inspect_path
from ci.inspect.models import CmdlineFacts, TextFacts
from ci.plan.expectation import expectation
from ci.plan.outputs import Layout, parse_base_url
from ci.plan.profile import profiles
from ci.steps.normalise.__main__ import main
from tests.unit.planning import plan_of, request

if TYPE_CHECKING:
    from pathlib import Path

    from ci.plan.model import Plan

URL = "http://192.168.1.10:8080/assets"
LINE = "talos.platform=metal console=ttyAMA0 console=tty0 slab_nomerge talos.config=http://a/?uuid=x&mac=y"


async def plan(*outputs: str, url: str | None = URL, layout: Layout = Layout.BOOT, arch: Arch = Arch.ARM64) -> Plan:
    return await plan_of(replace(request(outputs=outputs, layout=layout, arch=arch), base_url=parse_base_url(url)))


@pytest.mark.parametrize(
    ("name", "arch", "path"),
    [
        ("ipxe", Arch.ARM64, "boot/metal-arm64.ipxe"),
        ("metal.ipxe", Arch.ARM64, "boot/metal-arm64.ipxe"),
        ("openstack.ipxe", Arch.ARM64, "boot/openstack-arm64.ipxe"),
        ("equinixMetal", Arch.ARM64, "boot/equinixMetal-arm64.ipxe"),
        ("vultr.ipxe", Arch.AMD64, "boot/vultr-amd64.ipxe"),
    ],
)
async def test_a_script_is_next_to_kernel_and_initramfs(name: str, arch: Arch, path: str) -> None:
    found = await plan(name, arch=arch)
    (output,) = found.outputs
    assert (output.path, output.imager_kind, output.media_type) == (path, "cmdline", "text/plain")
    assert output.boots == (f"{URL}/vmlinuz", f"{URL}/initramfs.xz")
    assert profiles(found)[output.kind_name]["platform"] == output.platform
    assert expectation(found).files == {path: "cmdline"}
    assert not found.builds_initramfs


async def test_in_cozystacks_layout_the_files_have_their_names() -> None:
    (output,) = (await plan("ipxe", layout=Layout.UPSTREAM)).outputs
    assert (output.path, output.imager_file) == ("metal-arm64.ipxe", "cmdline-metal-arm64")
    assert output.boots == (f"{URL}/kernel-arm64", f"{URL}/initramfs-metal-arm64.xz")


async def test_a_script_without_a_url_is_refused() -> None:
    with pytest.raises(PlanError) as raised:
        await plan("kernel", "ipxe", "openstack.ipxe", url=None)
    assert str(raised.value) == (
        "ipxe, openstack.ipxe names kernel and initramfs by their URLs: give the URL of their folder with --base-url, "
        "for example http://192.168.1.10:8080/assets"
    )


async def test_a_url_without_a_script_is_refused() -> None:
    with pytest.raises(PlanError, match=r"^a base URL is given, and none of the outputs \(kernel, initramfs\) is a "):
        await plan("kernel", "initramfs")


@pytest.mark.parametrize(
    "text",
    ["http://10.0.0.1", "https://boot.example.com/talos/", "tftp://[fe80::1]/a", "http://h:80/a/b%20c"],
)
def test_a_base_url_is_read(text: str) -> None:
    assert parse_base_url(text) == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "boot.example.com",
        "ftp://h/a",
        "http://user:password@h/a",
        "http://h/a b",
        "http://h/a?b",
        "http://h/a#b",
        "http://h/${net0/mac}",
        "http://h/a\nboot",
        "http://h/" + "a" * 1000,
    ],
)
def test_a_base_url_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OutputError, match=r"^bad base URL "):
        parse_base_url(text)


@pytest.mark.parametrize("name", ["aws.ipxe", "oracle.ipxe", "hcloud.ipxe"])
async def test_a_platform_that_does_not_boot_from_the_network_is_refused(name: str) -> None:
    with pytest.raises(OutputError, match=r"do not boot from the network, but from a disk image"):
        await plan(name)


# The script


def script(folder: Path, line: str) -> int:
    (folder / "cmdline").write_text(line)
    urls = ("--kernel", f"{URL}/vmlinuz", "--initramfs", f"{URL}/initramfs.xz")
    return main(["ipxe", str(folder / "cmdline"), str(folder / "script"), *urls])


def test_the_script_boots_the_kernel_with_the_arguments(tmp_path: Path) -> None:
    assert script(tmp_path, LINE) == 0
    assert (tmp_path / "script").read_text() == (
        f"#!ipxe\nimgfree\nkernel {URL}/vmlinuz initrd=initramfs.xz {LINE}\ninitrd {URL}/initramfs.xz\nboot\n"
    )


def test_the_script_is_read_again(tmp_path: Path) -> None:
    assert script(tmp_path, LINE) == 0
    assert inspect_path(tmp_path / "script").facts == CmdlineFacts(
        cmdline=f"initrd=initramfs.xz {LINE}", boots=(f"{URL}/vmlinuz", f"{URL}/initramfs.xz")
    )


@pytest.mark.parametrize(
    "line", ["talos.platform=metal a=${net0}", "a # b", "a && b", 'a="b c"', "a\nb", "", "a\\b", "ä"]
)
def test_arguments_that_a_script_would_take_for_its_own_are_refused(
    tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script(tmp_path, line) == 1
    assert "iPXE would not hand on these arguments as they are" in capsys.readouterr().err
    assert not (tmp_path / "script").exists()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # As the Image Factory has it, and with options that others use.
        ("#!ipxe\nimgfree\nkernel https://f/kernel-arm64 talos.platform=aws\ninitrd https://f/i.xz\nboot\n",
         ("talos.platform=aws", "https://f/kernel-arm64", "https://f/i.xz")),
        ("#!ipxe\r\nkernel --name k http://h/k talos.platform=metal a\r\ninitrd --name i http://h/i\r\nboot k\r\n",
         ("talos.platform=metal a", "http://h/k", "http://h/i")),
        ("#!ipxe\nchain http://h/menu\n", None),
        ("kernel http://h/k talos.platform=metal\n", None),
    ],
)  # fmt: skip
def test_others_scripts_are_read_too(tmp_path: Path, text: str, found: tuple[str, ...] | None) -> None:
    (tmp_path / "script").write_bytes(text.encode())
    facts = inspect_path(tmp_path / "script").facts
    assert facts == (CmdlineFacts(cmdline=found[0], boots=found[1:]) if found else TextFacts(text=text))
