"""Disk images for clouds, as a user builds them: Debian's qemu-img finds them whole, and one and the same disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.common import pins
from ci.inspect.inspect import inspect_path
from ci.inspect.models import CmdlineFacts, DiskFacts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.conftest import Call

#: Of one platform, so that all are made of one run of the imager.
FORMS = {"qcow2": "qcow2", "vmdk": "vmdk", "vhd.xz": "vhd"}
URL = "http://192.168.1.10:8080/boot"
SCRIPT = """\
set -eu
apt-get -qq update && apt-get -qq install --yes --no-install-recommends qemu-utils xz-utils >/dev/null
cd /work
xz -dk openstack-arm64.vhd.xz
qemu-img check -f qcow2 openstack-arm64.qcow2
qemu-img check -f vmdk openstack-arm64.vmdk
qemu-img compare -f qcow2 -F vmdk openstack-arm64.qcow2 openstack-arm64.vmdk
qemu-img compare -f qcow2 -F vpc openstack-arm64.qcow2 openstack-arm64.vhd
"""


@pytest.fixture(scope="module")
def disks(call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("disks")
    names = ",".join([*(f"openstack.{form}" for form in FORMS), "openstack.ipxe"])
    done = call(
        *("build", "--variant", "spin-only", "--outputs", names, "--base-url", URL, "--disk-size", "2500MiB"),
        *("export", "--path", out),
    )
    assert done.returncode == 0, done.stderr
    return out / "assets/talos/arm64"


def test_qemu_img_finds_whole_images_of_one_disk(disks: Path, core: Call) -> None:
    folder = disks / "openstack"
    (folder / "script.sh").write_text(SCRIPT)
    done = core(
        *("container", "from", "--address", pins.PYTHON),
        *("with-directory", "--path", "/work", "--source", folder),
        *("with-exec", "--args", "sh,/work/script.sh", "stdout"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("No errors were found on the image.") == 2
    assert done.stdout.count("Images are identical.") == 2


def test_the_readers_find_the_same_in_every_form(disks: Path) -> None:
    found = {form: inspect_path(disks / f"openstack/openstack-arm64.{form}") for form in FORMS}
    facts = [one.facts for one in found.values()]
    assert [one.format for one in facts if isinstance(one, DiskFacts)] == list(FORMS.values())
    assert {one.capacity for one in facts if isinstance(one, DiskFacts)} == {2500 << 20}
    inside = [[(node.name, node.sha256) for node in one.contents] for one in found.values()]
    assert inside[0]
    assert inside[0] == inside[1] == inside[2]


def test_the_script_of_ipxe_has_the_platforms_arguments(disks: Path) -> None:
    facts = inspect_path(disks / "boot/openstack-arm64.ipxe").facts
    assert isinstance(facts, CmdlineFacts)
    assert facts.boots == (f"{URL}/vmlinuz", f"{URL}/initramfs.xz")
    assert "talos.platform=openstack console=tty1 console=ttyS0 net.ifnames=0" in facts.cmdline
