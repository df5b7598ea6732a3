"""A release's pages: what they offer for each machine, what programs read, and what has changed."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci.common.kinds import KINDS
from ci.common.platforms import PLATFORMS, BootMethod, Platform
from ci.plan.model import Plan
from ci.plan.outputs import FORMS, DiskFormat, Form
from ci.report.pages.clouds import CLOUDS
from ci.report.pages.site import Built, Place, site_pages
from ci.report.pages.uses import uses
from ci.report.pages.ways import ways
from ci.verify.reported import Report, ReportedExtension, ReportedFile
from tests.unit.report.test_build_page import HOSTILE, checked
from tests.unit.verify.assets import good, plan_of, planned_output

ARGUMENTS = "talos.platform=metal console=ttyAMA0"


def plan(variant: str = "spin-only", **changes: Any) -> Plan:
    outputs: list[dict[str, Any]] = []
    for kind in KINDS.values():
        path = kind.boot_path.format(arch="arm64") + (".zst" if kind.disk else "")
        output = planned_output(kind.name, kind.initramfs.value)
        outputs.append(output | {"path": path, "imagerKind": kind.imager_kind, "platform": kind.platform})
    return Plan.model_validate(plan_of(good(variant)) | {"outputs": outputs} | changes)


def report(of: Plan, talos: str = "v1.13.6", spin: str = "v0.21.0", size: int = 1000) -> Report:
    paths = [*(output.path for output in of.outputs), "validation/sbom.spdx.json"]
    return Report(
        stand_in=of.stand_in,
        variant=of.variant,
        arch=of.arch.value,
        talos=talos,
        kernel="6.18.38-talos",
        extensions=(ReportedExtension(name="spin", version=spin, image="0.sqsh"),),
        cmdlines={"uki/x": "other", "cmdline/cmdline-metal-arm64": ARGUMENTS},
        files=tuple(ReportedFile(path=path, kind="kernel", size=size, sha256=f"{size:064x}") for path in paths),
        checks=(),
        plan=of.model_dump(mode="json"),
    )


def built(of: Plan | None = None, before: Report | None = None) -> Built:
    of = of or plan()
    return Built(of, report(of), before)


PUBLISHED = Place("registry.example.com/talos")
IMAGE = "registry.example.com/talos/talos:spin-only-v1.13.6-v1.6.2"


def index(*of: Built, place: Place = PUBLISHED) -> str:
    return site_pages(of, {"spin-only": ("node.yaml",)}, place)["index.html"]


def test_every_way_has_its_download_its_check_and_its_commands() -> None:
    words = checked(index(built())).words
    for command in (
        "curl --fail --location --create-dirs --output boot/vmlinuz SITE/spin-only/arm64/boot/vmlinuz",
        "sha256sum --check --ignore-missing checksums.sha256",
        f"kernel http://SERVER:8080/boot/vmlinuz initrd=initramfs.xz {ARGUMENTS}",
        "sudo dd of=/dev/DISK bs=4M conv=fsync status=progress if=iso/metal-arm64.iso",
        "sudo sh -c 'zstd --decompress --stdout metal/metal-arm64.raw.zst | dd of=/dev/DISK",
        "zstd --decompress --stdout nocloud/nocloud-arm64.raw.zst > nocloud/nocloud-arm64.raw",
        "--scsi0 STORAGE:0,import-from=$PWD/nocloud/nocloud-arm64.raw --boot",
        f"talosctl upgrade --nodes NODE --image {IMAGE}",
        f"cosign verify --key cosign.pub --insecure-ignore-tlog {IMAGE}",
        "talosctl machineconfig patch worker.yaml --patch @node.yaml --output this-node.yaml",
    ):
        assert command in words, command


def test_links_lead_to_what_is_in_the_site() -> None:
    one = built()
    page = checked(index(one))
    links = {attributes["href"] or "" for tag, attributes in page.elements if tag == "a"}
    there = {f"{one.folder}/{file.path}" for file in one.report.files}
    there |= {f"{one.folder}/checksums.sha256", f"{one.folder}/validation/build-report.html"}
    there |= {"latest.json", "spin-only/machine-config/node.yaml"}
    assert links <= there
    assert {f"{one.folder}/{path}" for path in one.files} < links
    assert not any("difference" in link or "cosign" in link for link in links)


def test_archives_are_checked_and_unpacked_where_the_files_are_not_in_the_site() -> None:
    page = checked(index(built(), place=Place(archives="https://example.com/v1")))
    assert "curl --fail --location --remote-name https://example.com/v1/spin-only.tar" in page.words
    assert re.findall("SITE/[^ ]*", page.words) == ["SITE/spin-only/machine-config/node.yaml"]
    assert not any("vmlinuz" in (attributes.get("href") or "") for _, attributes in page.elements)
    assert "cosign" not in page.words  # nothing is published
    assert "crane push installer/installer-arm64.tar REGISTRY/talos:TAG" in page.words


def test_a_board_is_named_by_its_overlay() -> None:
    overlay = {"reference": "ghcr.io/siderolabs/sbc-raspberrypi:v0.2.0", "digest": "sha256:1", "name": "rpi_generic"}
    overlay |= {"hostPlatform": "linux/amd64", "platform": "linux/arm64"}
    of = plan(overlay=overlay | {"options": {}})
    found = [way.title for way in ways(of, report(of), None)]
    assert "Board: rpi_generic, card or disk" in found


def test_what_is_for_a_cloud_is_not_offered_for_a_stick() -> None:
    cloud = planned_output("openstack.iso", "ready") | {"imagerKind": "iso", "platform": "openstack"}
    outputs = plan().model_dump(mode="json")["outputs"]
    of = plan(outputs=[*outputs, cloud | {"path": "openstack/openstack-arm64.iso"}])
    found = {way.key: way for way in ways(of, report(of), None)}
    assert found["usb"].files == ("iso/metal-arm64.iso",)
    assert found["openstack.iso"].files == ("openstack/openstack-arm64.iso",)
    assert not any(file.endswith(".ipxe") for file in found["netboot"].files)


WITH_DISKS = [one for one in PLATFORMS.values() if BootMethod.DISK in one.boots and one.name != "metal"]


@pytest.mark.parametrize("platform", WITH_DISKS, ids=lambda one: one.name)
@pytest.mark.parametrize("arch", ["arm64", "amd64"])
def test_every_cloud_has_its_import(platform: Platform, arch: str) -> None:
    name = f"{platform.name}-{arch}.{platform.form}"
    output = planned_output(platform.name, "ready") | {"imagerKind": "image", "platform": platform.name}
    output |= {"diskFormat": FORMS[platform.form or ""].format.value}
    of = plan(outputs=[output | {"path": f"{platform.name}/{name}"}], arch=arch)
    (way,) = ways(of, report(of), None)
    said = "\n".join(step.command for step in way.steps)
    assert (way.key, way.title) == (platform.name, f"Cloud: {platform.title}")
    assert name.partition(".")[0] in said
    assert "%" not in said
    assert CLOUDS[platform.name]
    if not CLOUDS[platform.name].packed and (end := re.search(r"\.(xz|zst)$", name)):
        unpacked = f"{platform.name}/{name.removesuffix(end[0])}"
        program = {".xz": "xz", ".zst": "zstd"}[end[0]]
        assert said.startswith(f"{program} --decompress --stdout {platform.name}/{name} > {unpacked}\n")
        assert unpacked.rpartition("/")[2] in said.partition("\n")[2]
        assert name not in said.partition("\n")[2]
    done = subprocess.run(["bash", "-n"], input=said, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_for_clouds_are_those_of_the_documentation() -> None:
    """docs/clouds.md has each of the programs that the page names, with the same subcommand."""
    page = (Path(__file__).parents[3] / "docs/clouds.md").read_text()
    for cloud in CLOUDS.values():
        for step in cloud.steps:
            for line in step.command.splitlines():
                assert " ".join(line.split()[:2]) in page, line


@pytest.mark.parametrize("arch", ["arm64", "amd64"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_only_raw_disks_are_written_to_a_disk_and_none_packed(form: Form, arch: str) -> None:
    path = f"metal/metal-{arch}.{form.name}"
    output = planned_output("metal", "ready") | {"imagerKind": "image", "diskFormat": form.format.value, "path": path}
    of = plan(outputs=[output | {"compression": form.compression.value}], arch=arch)
    (way,) = ways(of, report(of), None)
    use = uses(of, "tag")[path]
    for said in (use.command, "\n".join(step.command for step in way.steps)):
        assert ("dd of=/dev/DISK" in said) is (form.format is DiskFormat.RAW)
        assert (f"if={path}" in said) is (form.name == "raw")
        assert ("virt-install" in said) is ("qcow2" in form.name)
        assert re.search(rf"(zstd|xz|gzip) --decompress --stdout {path}|tar .*{path}", said) or not form.compression
        done = subprocess.run(["bash", "-n"], input=said, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert ("virtual machine" in use.purpose) is (form.format is not DiskFormat.RAW)


def test_a_form_is_named_as_clouds_name_it() -> None:
    """Packed clusters are nothing that a cloud has to be told, and a packing goes."""
    for form, kept, named in (("compressed.qcow2", "compressed.qcow2", "qcow2"), ("vhd.gz", "vhd", "vhd")):
        path = f"openstack/openstack-arm64.{form}"
        output = planned_output("metal", "ready") | {"imagerKind": "image", "platform": "openstack", "path": path}
        of = plan(outputs=[output | {"diskFormat": FORMS[form].format.value}])
        (way,) = ways(of, report(of), None)
        said = "\n".join(step.command for step in way.steps)
        assert f"--disk-format {named} --file openstack/openstack-arm64.{kept} " in said


def test_a_cloud_that_is_not_in_the_table_is_left_to_its_own_guide() -> None:
    output = planned_output("metal", "ready") | {"imagerKind": "image", "platform": "elsewhere"}
    of = plan(outputs=[output | {"path": "elsewhere/elsewhere-arm64.raw"}])
    (way,) = ways(of, report(of), None)
    assert [(step.command, "your cloud's guide" in step.text) for step in way.steps] == [("", True)]


def test_latest_says_the_same_for_programs() -> None:
    one = built()
    latest = json.loads(site_pages([one], {}, PUBLISHED)["latest.json"])
    assert {key: latest[key] for key in ("format", "standIn", "talos", "cozystack", "archives")} == {
        "format": 1, "standIn": False, "talos": "v1.13.6", "cozystack": "v1.6.2", "archives": None,
    }  # fmt: skip
    (build,) = latest["builds"]
    assert (build["variant"], build["arch"], build["installer"]) == ("spin-only", "arm64", IMAGE)
    assert [file["path"] for file in build["files"]] == list(one.files)
    assert build["extensions"] == {"spin": "v0.21.0"}
    assert build["report"] == "spin-only/arm64/validation/build-report.json"


def test_the_installer_is_named_by_its_digest_where_it_is_known() -> None:
    """By tag alone a program, or an upgrade, would take what the tag names later."""
    one = replace(built(), installer=f"sha256:{7:064x}")
    pages = site_pages([one], {}, PUBLISHED)
    named = f"{IMAGE}@sha256:{7:064x}"
    assert json.loads(pages["latest.json"])["builds"][0]["installer"] == named
    words = checked(pages["index.html"]).words
    assert f"talosctl upgrade --nodes NODE --image {named}" in words
    assert f"cosign verify --key cosign.pub --insecure-ignore-tlog {named}" in words
    alone = json.loads(site_pages([one], {}, Place())["latest.json"])  # nothing is published
    assert alone["builds"][0]["installer"] is None


def test_difference_to_the_release_before_is_a_page_of_its_own() -> None:
    of = plan()
    pages = site_pages([built(of, report(of, "v1.12.0", "v0.20.0", 900))], {}, PUBLISHED)
    page = checked(pages["spin-only/arm64/difference.html"])
    words = page.words
    assert [attributes["href"] for tag, attributes in page.elements if tag == "a"] == ["../../index.html"]
    assert "diff --format html" not in words
    assert "From spin-only, Talos v1.12.0, CozyStack v1.6.2 to spin-only, Talos v1.13.6" in words
    assert "Talos version: changed before v1.12.0 after v1.13.6" in words
    assert "extension spin: changed before v0.20.0 after v0.21.0" in words
    assert "boot/vmlinuz before 900 B after 1.0 kB (+100 B)" in words
    assert "spin-only/arm64/difference.html" in pages["index.html"]


def test_stand_ins_and_hostile_words_are_shown_as_what_they_are() -> None:
    of = plan(description=HOSTILE, role=HOSTILE, standIn=True)
    page = checked(index(built(of)))
    assert page.words.index("STAND-IN") < page.words.index("Choose")
    assert "<script>alert(1)</script>" in page.text


def test_same_release_gives_the_same_bytes() -> None:
    assert site_pages([built()], {}, PUBLISHED) == site_pages([built()], {}, PUBLISHED)


def test_downloads_and_checks_do_what_they_say(tmp_path: Path) -> None:
    """The commands of the page are run, against a folder that stands for the site."""
    one = built()
    (site := tmp_path / "site").mkdir()
    for path in ("boot/vmlinuz", "boot/initramfs.xz", "cmdline/cmdline-metal-arm64"):
        (file := site / one.folder / path).parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    sums = subprocess.run(["sha256sum", "boot/vmlinuz", "boot/initramfs.xz", "cmdline/cmdline-metal-arm64"],
                          cwd=site / one.folder, capture_output=True, text=True, check=True)  # fmt: skip
    (site / one.folder / "checksums.sha256").write_text(sums.stdout + f"{0:064x}  iso/not-downloaded.iso\n")
    page = index(one)
    commands = re.findall(r"<pre data-site>(curl[^<]+|sha256sum[^<]+)</pre>", page)[:2]
    (work := tmp_path / "work").mkdir()
    script = "set -e\n" + "\n".join(commands).replace("SITE", site.as_uri())
    done = subprocess.run(["bash", "-c", script], cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "boot/vmlinuz: OK", "boot/initramfs.xz: OK", "cmdline/cmdline-metal-arm64: OK",
    ]  # fmt: skip
