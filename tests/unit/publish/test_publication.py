"""What `publish` prints: references, the commands for nodes, and their configuration in each of its forms."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
import yaml

from ci.publish.publication import PublishedImage, PublishedTag, Referrer, publication_as, upgrade_line
from ci.report.tables import Format
from tests.unit.catalogs import digest
from tests.unit.planning import plan_of, request
from tests.unit.publish.published import published

UPGRADE = f"talosctl upgrade --nodes NODE --image ghcr.io/me/talos:spin-only-v1.13.6-v1.6.2@{digest('a')}"


async def test_the_text_tells_references_and_the_upgrade() -> None:
    text = publication_as([published()], await plan_of(request(outputs=("cmdline",))), Format.TEXT)
    assert text.startswith(
        "installer: ghcr.io/me/talos\n"
        f"  {digest('a')}\n"
        "  tag spin-only-v1.13.6-v1.6.2\n"
        "  tag spin-only-stable\n"
        "    moved from\n"
        f"      {digest('0')}\n"
        "  linux/arm64\n"
        f"    {digest('b')}\n"
        f"    plan {'c' * 64}\n"
        "    application/spdx+json\n"
        f"      {digest('d')}\n"
        "  sent: 2 blobs (3.0 MB), 4 manifests and tags\n"
        "\n"
        "to upgrade nodes of the role 'worker', and no others:\n"
        "\n"
        "talosctl upgrade --nodes NODE --image \\\n"
        "  ghcr.io/me/talos:spin-only-v1.13.6-v1.6.2\\\n"
        f"@{digest('a')}\n"
        "\n"
        "to install them, in their machine configuration\n"
        "(machine-config writes it: --installer):\n"
        "\n"
        "machine:\n"
        "  install:\n"
        '    image: "ghcr.io/me/talos:spin-only-v1.13.6-v1.6.2\\\n'
        f'      @{digest("a")}"\n'
        "\n"
        "# schematic "
    )


def shell(command: str) -> str:
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout


async def test_the_text_fits_80_columns_and_can_be_copied_from() -> None:
    signature = Referrer(
        artifact_type="application/vnd.dev.sigstore.bundle.v0.3+json",
        digest=digest("e"),
        predicate_type="https://sigstore.dev/cosign/sign/v1",
    )
    (platform,) = published().platforms
    image = published(platforms=(platform.model_copy(update={"referrers": (signature,)}),), referrers=(signature,))
    served = netboot("linux/arm64", "linux/amd64")
    text = publication_as([image, served], await plan_of(request(outputs=("cmdline",))), Format.TEXT)
    schematic = text.index("# schematic ")
    assert max(map(len, text[:schematic].splitlines())) <= 80
    command = re.search(r"^talosctl .*\\\n.*\\\n.*$", text, re.MULTILINE)
    assert command
    assert shell(f"printf '%s ' {command[0]}") == f"{UPGRADE} "
    configuration = re.search(r"^machine:\n(?: .*\n)+", text, re.MULTILINE)
    assert configuration
    assert yaml.safe_load(configuration[0])["machine"]["install"]["image"] == published().reference


async def test_the_text_tells_where_nothing_changed() -> None:
    tag = PublishedTag(tag="spin-only-v1.13.6-v1.6.2", before=digest("a"))
    image = published("matchbox", tags=(tag,), sent_blobs=0, sent_manifests=0)
    text = publication_as([image], await plan_of(request(outputs=("cmdline",))), Format.TEXT)
    assert "  tag spin-only-v1.13.6-v1.6.2, as before\n" in text
    assert "  nothing was sent: the registry had all of it\n" in text
    assert "talosctl" not in text


SERVED = (
    "the machine that runs this image takes the one of its own architecture, and serves kernel and initramfs of that "
    "alone: for others see docs/publish.md, Several architectures"
)


def netboot(*platforms: str) -> PublishedImage:
    (one,) = published().platforms
    return published("matchbox", platforms=tuple(one.model_copy(update={"platform": name}) for name in platforms))


async def test_the_text_tells_whom_a_netboot_server_of_two_architectures_serves() -> None:
    plan = await plan_of(request(outputs=("cmdline",)))
    both = netboot("linux/arm64", "linux/amd64")
    assert f" note: {SERVED} sent: " in " ".join(publication_as([both], plan, Format.TEXT).split())
    for image in (netboot("linux/arm64"), published(platforms=both.platforms)):
        assert "note:" not in publication_as([image], plan, Format.TEXT)


async def test_the_json_tells_whom_a_netboot_server_of_two_architectures_serves() -> None:
    plan = await plan_of(request(outputs=("cmdline",)))
    for image, notes in ((netboot("linux/arm64", "linux/amd64"), [SERVED]), (netboot("linux/arm64"), [])):
        assert json.loads(publication_as([image], plan, Format.JSON))["notes"] == notes


async def test_the_json_tells_the_same() -> None:
    plan = await plan_of(request(outputs=("cmdline",)))
    found = json.loads(publication_as([published(), published("assets")], plan, Format.JSON))
    assert [one["image"] for one in found["images"]] == ["installer", "assets"]
    assert found["images"][0]["reference"] == upgrade_line(published()).rpartition(" ")[2]
    assert found["upgrade"] == [UPGRADE]
    assert found["install"] == [found["images"][0]["reference"]]
    assert len(found["schematic"]["id"]) == 64


# Configurations of nodes

NEXT = "v1.14.0-rc.1"


async def printed(talos: str) -> str:
    plan = await plan_of(request(outputs=("cmdline",)))
    text = publication_as([published()], plan.model_copy(update={"talos_version": talos}), Format.TEXT)
    return text[: text.index("# schematic ")]


def configurations(text: str) -> list[Any]:
    """The blocks of YAML in a text."""
    blocks = re.findall(r"^(?:machine|apiVersion): ?.*\n(?:(?:\w| ).*\n)+", text, re.MULTILINE)
    return [yaml.safe_load(block) for block in blocks]


@pytest.mark.parametrize("talos", ["v1.11.3", "v1.12.6", "v1.13.6"])
async def test_before_v1_14_a_configuration_has_a_field_for_the_installer(talos: str) -> None:
    text = await printed(talos)
    assert configurations(text) == [{"machine": {"install": {"image": published().reference}}}]
    assert "UnattendedInstallConfig" not in text


@pytest.mark.parametrize("talos", [NEXT, "v1.15.0-alpha.0"])
async def test_from_v1_14_on_both_forms_are_printed(talos: str) -> None:
    """Next to the document Talos refuses the field, and before v1.14 it does not know the document."""
    text = await printed(talos)
    assert configurations(text) == [
        {
            "apiVersion": "v1alpha1",
            "kind": "UnattendedInstallConfig",
            "installer": {"image": published().reference},
        },
        {"machine": {"install": {"image": published().reference}}},
    ]
    assert text.index("from v1.14 on") < text.index("UnattendedInstallConfig") < text.index("before v1.14")
    assert max(map(len, text.splitlines())) <= 80
