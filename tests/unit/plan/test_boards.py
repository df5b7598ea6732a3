"""Overlays for single-board computers, and signatures for secure boot: what the plan and the profiles say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from ci.common.arch import Arch
from ci.common.errors import PlanError, UserError, VariantError
from ci.execute.secureboot import Keys, parse_keys
from ci.plan import profile
from ci.plan.model import Plan, PlannedOverlay, SecureBoot
from ci.report.provenance import make_provenance
from ci.report.schematic import schematic
from ci.report.tables import Format, plan_as
from tests.unit.catalogs import digest
from tests.unit.planning import plan_of, request, variant

if TYPE_CHECKING:
    import dagger

ALL = ("kernel", "initramfs", "cmdline", "uki", "installer", "iso", "metal", "nocloud")
BOOT_IMAGES = ALL[2:]
IMAGE = f"ghcr.io/siderolabs/sbc-raspberrypi:v0.2.0@{digest('b')}"
BOARD = f"overlay:\n  image: {IMAGE}\n  name: rpi_generic\n  options: {{configTxtAppend: a=1}}\n"
SIGNED = SecureBoot(certificate="c" * 64)


async def board(text: str = BOARD, *, host: str = "linux/amd64", outputs: tuple[str, ...] = ALL) -> Plan:
    return await plan_of(replace(request(variant(text), outputs=outputs), host_platform=host))


async def signed(told: SecureBoot = SIGNED, *, outputs: tuple[str, ...] = ALL, **asked: Any) -> Plan:
    return await plan_of(replace(request(outputs=outputs, **asked), secure_boot=told))


# Overlays


async def test_the_plan_holds_the_overlay_for_the_imagers_platform_and_the_nodes() -> None:
    plan = await board()
    assert plan.overlay == PlannedOverlay(
        name="rpi_generic",
        reference="ghcr.io/siderolabs/sbc-raspberrypi:v0.2.0",
        digest=digest("b"),
        host_platform="linux/amd64",
        platform="linux/arm64",
        options={"configTxtAppend": "a=1"},
    )
    assert Plan.parse(plan.to_yaml()) == plan


async def test_boot_images_carry_the_overlay_and_the_parts_do_not() -> None:
    plan = await board()
    assert [output.name.split(".")[0] for output in plan.outputs if output.overlay] == list(BOOT_IMAGES)
    found = profile.profiles(plan)
    overlay = {
        "name": "rpi_generic",
        "image": {"tarballPath": "/in/overlay/amd64.tar"},
        "options": {"configTxtAppend": "a=1"},
    }
    assert {name: document.get("overlay") for name, document in found.items()} == {
        **dict.fromkeys(ALL[:2]),
        **dict.fromkeys(BOOT_IMAGES, overlay),
    }


async def test_the_installer_carries_the_nodes_overlay_where_the_imager_runs_on_another_platform() -> None:
    """The imager runs the overlay of its own platform, and packs the nodes' into the installer (`pkg/imager`)."""
    found = profile.profiles(await board())
    assert {name: document["input"].get("overlayInstaller") for name, document in found.items()} == {
        **dict.fromkeys(ALL),
        "installer": {"tarballPath": "/in/overlay/arm64.tar"},
    }


async def test_on_the_nodes_own_platform_one_overlay_is_enough() -> None:
    found = profile.profiles(await board(host="linux/arm64", outputs=("installer",)))
    assert found["installer"]["overlay"]["image"] == {"tarballPath": "/in/overlay/arm64.tar"}
    assert found["installer"]["input"]["overlayInstaller"] == {"tarballPath": "/in/overlay/arm64.tar"}


async def test_without_options_none_are_given() -> None:
    plan = await board(f"overlay: {{image: '{IMAGE}', name: rockpi4}}\n", outputs=("metal",))
    assert profile.profiles(plan)["metal"]["overlay"] == {
        "name": "rockpi4",
        "image": {"tarballPath": "/in/overlay/amd64.tar"},
    }


async def test_a_boards_disk_images_have_grub_since_the_imager_runs_no_overlay_beside_systemd_boot() -> None:
    found = profile.profiles(await board())
    loaders = {name: document["output"].get("imageOptions", {}).get("bootloader") for name, document in found.items()}
    assert loaders == {**dict.fromkeys(ALL), "metal": "grub", "nocloud": "grub"}


async def test_an_overlay_that_no_output_carries_is_refused() -> None:
    with pytest.raises(VariantError) as raised:
        await board(outputs=("kernel", "initramfs"))
    assert str(raised.value) == (
        "variants/mine.yaml:3: none of the outputs can carry an overlay (kernel, initramfs): it goes next to kernel "
        "and initramfs. Add one of cmdline, ipxe, uki, installer, iso, metal, nocloud"
    )


def test_an_overlay_has_a_digest() -> None:
    with pytest.raises(VariantError, match=r":4: overlay.image: reference '.*' has no digest: add @sha256:"):
        variant("overlay:\n  image: ghcr.io/siderolabs/sbc-raspberrypi:v0.2.0\n  name: rpi_generic\n")


async def test_plan_provenance_and_schematic_name_the_overlay() -> None:
    plan = await board()
    text = plan_as(plan, Format.TEXT)
    assert f"{IMAGE}\n  (rpi_generic; linux/amd64 and linux/arm64)" in text
    statement = cast("Any", make_provenance({}, plan))
    dependency = statement["predicate"]["buildDefinition"]["resolvedDependencies"][-1]
    assert (dependency["name"], dependency["digest"]) == ("overlay", {"sha256": "b" * 64})
    assert schematic(plan)["overlay"] == {
        "image": "siderolabs/sbc-raspberrypi",
        "name": "rpi_generic",
        "options": {"configTxtAppend": "a=1"},
    }


# Secure boot


async def test_signed_outputs_have_the_imagers_names() -> None:
    """Names as of the imager's `OutputPath` (pkg/imager/profile)."""
    plan = await signed()
    assert {output.name.split(".")[0]: output.imager_file for output in plan.outputs} == {
        "kernel": "kernel-arm64",
        "initramfs": "initramfs-metal-arm64.xz",
        "cmdline": "cmdline-metal-arm64-secureboot",
        "uki": "metal-arm64-secureboot-uki.efi",
        "installer": "installer-arm64-secureboot.tar",
        "iso": "metal-arm64-secureboot.iso",
        "metal": "metal-arm64-secureboot.raw",
        "nocloud": "nocloud-arm64-secureboot.raw",
    }
    assert plan.outputs[-1].path == "nocloud/nocloud-arm64-secureboot.raw.zst"
    assert Plan.parse(plan.to_json()) == plan


@pytest.mark.parametrize("arch", list(Arch))
async def test_boot_images_are_signed_with_the_mounted_keys_and_the_parts_are_not(arch: Arch) -> None:
    found = profile.profiles(await signed(arch=arch))
    keys = {
        "secureBootSigner": {"keyPath": "/in/secureboot/key.pem", "certPath": "/in/secureboot/cert.pem"},
        "pcrSigner": {"keyPath": "/in/secureboot/pcr-key.pem"},
    }
    assert {
        name: (document["secureboot"], document["input"].get("secureboot")) for name, document in found.items()
    } == {
        **dict.fromkeys(ALL[:2], (False, None)),
        **dict.fromkeys(BOOT_IMAGES, (True, keys)),
    }


async def test_keys_of_ones_own_are_enrolled() -> None:
    found = profile.profiles(await signed(SIGNED.model_copy(update={"own_enrolment": True}), outputs=("iso",)))
    assert {key: found["iso"]["input"]["secureboot"][key] for key in profile.ENROLMENT} == {
        "platformKeyPath": "/in/secureboot/PK.auth",
        "keyExchangeKeyPath": "/in/secureboot/KEK.auth",
        "signatureKeyPath": "/in/secureboot/db.auth",
    }


async def test_keys_that_sign_nothing_are_refused() -> None:
    with pytest.raises(PlanError, match=r"^none of the outputs can be signed for secure boot \(kernel\): "):
        await signed(outputs=("kernel",))


SECRET, CERTIFICATE = cast("dagger.Secret", object()), cast("dagger.File", object())


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((SECRET, None, None, None), "--secureboot-cert, --secureboot-pcr-key"),
        ((None, CERTIFICATE, SECRET, None), "--secureboot-key"),
        ((None, None, None, object()), "--secureboot-key, --secureboot-cert, --secureboot-pcr-key"),
    ],
)
def test_a_part_of_the_keys_is_refused(given: Any, missing: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_keys(*given)
    assert str(raised.value) == f"secure boot needs a signing key, its certificate and a PCR key: give {missing} too"


def test_without_keys_nothing_is_signed() -> None:
    assert parse_keys(None, None, None, None) is None


class Held:
    """A file, a secret or a folder that holds a text, or names."""

    def __init__(self, text: str = "", *names: str) -> None:
        self._text, self._names = text, names

    async def contents(self) -> str:
        return self._text

    plaintext = contents

    async def entries(self) -> list[str]:
        return list(self._names)


KEY = Held("-----BEGIN RSA PRIVATE KEY-----\nabc\n")
CERT = Held("-----BEGIN CERTIFICATE-----\nabc\n")


async def test_the_plan_knows_the_certificate_and_no_key() -> None:
    told = await cast("Any", Keys)(KEY, CERT, KEY, Held("", "PK.auth", "KEK.auth", "db.auth")).planned()
    assert told == SecureBoot(
        certificate="63ad53df3532c8b9763666060aa044c015399a4f9dfcd28f1a20808678881026", own_enrolment=True
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ((Held("-----BEGIN PRIVATE KEY-----"), CERT, KEY), "--secureboot-key: no RSA key in PKCS#1"),
        ((KEY, CERT, Held("s3cret")), "--secureboot-pcr-key: no RSA key in PKCS#1"),
        ((KEY, KEY, KEY), "--secureboot-cert: no certificate in PEM"),
        ((KEY, CERT, KEY, Held("", "PK.auth")), "--secureboot-enrolment: KEK.auth, db.auth is not in the folder"),
    ],
)
async def test_what_the_imager_can_not_read_is_refused_without_showing_it(keys: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}") as raised:
        await cast("Any", Keys)(*keys).planned()
    assert "s3cret" not in str(raised.value)
