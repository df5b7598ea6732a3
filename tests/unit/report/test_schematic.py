"""Schematics and their ids are the Image Factory's own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from ci.plan.model import SecureBoot
from ci.report.schematic import canonical, schematic, schematic_as, schematic_id
from ci.report.tables import Format
from tests.unit.planning import plan_of, request, variant

#: The ids in the tests of image-factory's `pkg/schematic`.
KNOWN: list[tuple[dict[str, Any], str]] = [
    ({}, "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"),
    (
        {"extraKernelArgs": ["noapic", "nolapic"]},
        "9cba8e32753f91a16c1837ab8abf356af021706ef284aef07380780177d9a06c",
    ),
    (
        {"meta": [{"key": 10, "value": "foo"}]},
        "d308a2a5ee2277bed5fbaa104fcbc8d59122abfa737df987a95b4ca763459a7f",
    ),
]

OWN = "ghcr.io/example/sensors:v2@sha256:" + "9f" * 32


@pytest.mark.parametrize(("customization", "number"), KNOWN)
def test_the_known_ids_come_out(customization: dict[str, Any], number: str) -> None:
    assert schematic_id({"customization": customization}) == number


# The text as a kernel argument and as META value 10, in a schematic that go.yaml.in/yaml/v4 v4.0.0 wrote.
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("console=ttyS0,115200n8", "d9ec68afd924b3a2d0551a2f1a0dbaf7e0a09874d0bcdf2817bbc10a59e7d06d"),
        ("-selinux", "d93f1bffcccb97b1d825d5173ff29d791f68f809908c221dc954ddac5fbd835f"),
        ("yes", "cbf5738fada77d13b5cd2d1d9eb40c446e7e8f63ecf0416416de7ebe96363a95"),
        ("y", "ad0a9b77a008f688c95dcce8dc7ffb8d3952f23eccde9ffb0a88e5f11b6b152c"),
        ("1e3", "22c9b58987e3656e82271362e3ce41a90bbe12ae5dc4215b054fee8a9a46f71a"),
        ("12:30", "dfc06c9fa80db8c67ae17ac7c525c7fb363ad41913df53535955f38c9746d709"),
        ("0x1f", "7400d51b20e54f9c16c2522af92e75ad3ae34f5fca0bd96105a0a46caa45334c"),
        ("~", "8d1556abc5fc6a97a38d4b1abdbf38bc81a5cf3d274c490135e74bce7f05258c"),
        ("", "ef8e7396c0957bc1ad45f74a4ab54a096371f9f7bebce03b0718f8bf2949df3b"),
        ("a: b", "12819e8f8bddc1ad0eafc2a78b05df2c785cca7805f78dd7dbcc670a5be172c5"),
        ("#x", "0d1201a7d915c8a59cf3158c05bc591fde3764d0252af3ed02401bc2b19dbe8f"),
        ("*a", "4c1c9c00e666e7c16816986222bb0f5066ed619054c3c6cf35cae5e5816667aa"),
        ("a b", "5a6b710f03c38d266925437a182f7aaef8108396679b18c1c6106cf99695921a"),
        ("tab\tx", "1d7992c17ae7d7e1310e52a159d3ec1addf1906b8630ba63c2d38c52e9d7a198"),
        ("2026-11-25", "58c3c051f7a4047410b477695c462d6622cafe9812e2af930abf88d0f3698d00"),
        ("addresses: []\nroutes: []\n", "ea403b5a794036beb6b101377686af6017f02b26dd142c25120d4e2fca517c25"),
        ("a\nb", "87cd0bd7885bc6de2e661f69fae0d088bba4705a73812563c1b0d16340315823"),
        ("  a\nb", "51644258b10ffbd6827a69481396b60c8c0660ee0dead55be715a50145704b7e"),
        ("\n\ta", "4d9f552efda6bb17840bebfbb5f36328901257e98faef7938a4bd038709a31d1"),
        ("a\n\n", "6b535a882db9e2dc12ad89d2539dad1e3d5f52738b73abc251c366b811e59d95"),
        ("\n", "b1ca44570df0e071cfaa6d1c52bd42bcc5233a4a78ddb29cbfa77a02bc82e7c4"),
        ("é", "13d0a384ae041214a90fcc4cf1939ecf3c4b912a71b3fe6f0ee045a242373cd3"),
        ("😀", "3043398ca80bd611baa1d35856ea83edb9b16698b7811f7314a9c08d7795c53f"),
    ],
)
def test_texts_are_written_as_go_writes_them(text: str, number: str) -> None:
    document = {"customization": {"extraKernelArgs": [text], "meta": [{"key": 10, "value": text}]}}
    assert yaml.safe_load(canonical(document)) == document
    assert schematic_id(document) == number


# An overlay's options, and what go.yaml.in/yaml/v4 v4.0.0 writes below `options:` for them.
OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"text": "a=1\nb=2"}, "text: |-\n    a=1\n    b=2\n"),
    ({"text": "  a=1\nb=2\n"}, "text: |4\n      a=1\n    b=2\n"),
    ({"a": {"b": {"c": "x\ny\n"}}}, "a:\n    b:\n        c: |\n            x\n            y\n"),
    (
        {"d": ["x\ny", {"k": "x\ny", "l": {"m": " x\ny"}}, ["  x\ny", [[" p\nq"]]]]},
        (
            "d:\n"
            "    - |-\n      x\n      y\n"
            "    - k: |-\n        x\n        y\n"
            "      l:\n        m: |4-\n             x\n            y\n"
            "    - - |2-\n          x\n        y\n"
            "      - - - |2-\n             p\n            q\n"
        ),
    ),
    ({"z": [{"b10": 1, "b9": 2}], "a": {"y": 1, "x": 2}}, 'a:\n    x: 2\n    "y": 1\nz:\n    - b9: 2\n      b10: 1\n'),
    ({"a": True, "b": False, "c": None, "d": "true"}, 'a: true\nb: false\nc: null\nd: "true"\n'),
    ({"a": "x\x85y"}, 'a: "x\\Ny"\n'),
    ({"r": [True, None, 2.5, {}, []]}, "r:\n    - true\n    - null\n    - 2.5\n    - {}\n    - []\n"),
]


@pytest.mark.parametrize(("options", "text"), OPTIONS)
def test_an_overlays_options_are_written_as_go_writes_them(options: dict[str, Any], text: str) -> None:
    assert canonical(with_options(options)) == (
        "overlay:\n    image: siderolabs/sbc-raspberrypi\n    name: rpi_generic\n    options:\n"
        + "".join(f"        {line}\n" for line in text.splitlines())
        + "customization: {}\n"
    )


def with_options(options: dict[str, Any]) -> dict[str, Any]:
    overlay = {"image": "siderolabs/sbc-raspberrypi", "name": "rpi_generic", "options": options}
    return {"overlay": overlay, "customization": {}}


def test_an_overlays_options_are_sorted_as_go_sorts_a_map() -> None:
    # As go.yaml.in/yaml/v4 v4.0.0 wrote them.
    sorted_keys = [
        "1", "2", "10", "B", "a-1", "a.b", "a_b", "a1b", "a1_", "ab", "b", "c", "c1x", "c2", "c02", "c10", "c12",
        "c100", "c103",
    ]  # fmt: skip
    written = canonical(with_options(dict.fromkeys(reversed(sorted_keys), "v")))
    assert list(yaml.safe_load(written)["overlay"]["options"]) == sorted_keys


# As go.yaml.in/yaml/v4 v4.0.0 wrote what it had read.
@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.5, "1.5"),
        (1.0, "1"),
        (-0.0, "-0"),
        (100000.0, "100000"),
        (123456.789, "123456.789"),
        (1000000.0, "1e+06"),
        (12345678.25, "1.234567825e+07"),
        (1e20, "1e+20"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (5e-324, "5e-324"),
        (float("inf"), ".inf"),
        (float("-inf"), "-.inf"),
        (float("nan"), ".nan"),
        (-7, "-7"),
        (2**64 - 1, "18446744073709551615"),
        (2**64, "1.8446744073709552e+19"),
        (-(2**63) - 1, "-9.223372036854776e+18"),
    ],
)
def test_numbers_are_written_as_go_writes_them(number: float, text: str) -> None:
    assert f"        a: {text}\n" in canonical(with_options({"a": number}))


# Quoted or not as go.yaml.in/yaml/v4 v4.0.0 wrote it.
@pytest.mark.parametrize("text", ['"0B1"', '"0O17"', '"1_000"', '"-_1"', '".5"', ".5_", "5e3356", "0...", "quiet..."])
def test_texts_that_look_like_numbers_are_quoted_and_the_end_of_a_text_stays(text: str) -> None:
    written = canonical({"customization": {"extraKernelArgs": [text.strip('"')]}})
    assert written == f"customization:\n    extraKernelArgs:\n        - {text}\n"


async def test_a_variant_names_upstreams_extensions_and_its_own() -> None:
    assert canonical(schematic(await plan_of(request("spin-tailscale", outputs=("cmdline",))))) == (
        "customization:\n"
        "    systemExtensions:\n"
        "        officialExtensions:\n"
        "            - siderolabs/bnx2-bnx2x\n"
        "            - siderolabs/intel-ice-firmware\n"
        "            - siderolabs/qlogic-firmware\n"
        "            - siderolabs/drbd\n"
        "            - siderolabs/zfs\n"
        "            - siderolabs/spin\n"
        "            - siderolabs/tailscale\n"
    )


CUSTOM = f"""
extensions:
  add: [{{reference: {OWN!r}, reason: ours}}]
  drop: [{{name: zfs, reason: not needed}}]
extraKernelArgs: [net.ifnames=0]
meta: [{{key: 10, value: "addresses: []"}}]
"""


async def test_arguments_and_meta_values_are_in_it_once() -> None:
    made = schematic(await plan_of(request(variant(CUSTOM), outputs=("cmdline", "uki", "metal"))))
    assert made["customization"]["extraKernelArgs"] == ["net.ifnames=0"]
    assert made["customization"]["meta"] == [{"key": 10, "value": "addresses: []"}]


async def test_what_the_factory_does_not_have_is_left_out_and_told() -> None:
    plan = await plan_of(request(variant(CUSTOM), outputs=("cmdline",)))
    names = schematic(plan)["customization"]["systemExtensions"]["officialExtensions"]
    assert not {"siderolabs/zfs", "siderolabs/sensors", "example/sensors"} & set(names)
    assert f"# left out, since the factory does not have it: {OWN}" in schematic_as(plan, Format.TEXT).splitlines()
    assert json.loads(schematic_as(plan, Format.JSON))["leftOut"] == [OWN]


async def test_for_secure_boot_it_is_the_factorys_signed_installer() -> None:
    """The names are those of image-factory's `getRequestedImage` (internal/frontend/http/registry.go)."""
    keys = SecureBoot(certificate="c" * 64)
    text = schematic_as(await plan_of(replace(request(outputs=("uki",)), secure_boot=keys)), Format.TEXT)
    number = text.split()[2]
    assert f"# factory.talos.dev/metal-installer-secureboot/{number}:v1.13.6" in text.splitlines()
    assert "# The factory signs it with its own keys: a node that only has yours enrolled does not boot it." in text


async def test_the_formats_agree_on_the_id() -> None:
    plan = await plan_of(request(outputs=("cmdline",)))
    number = hashlib.sha256(schematic_as(plan, Format.YAML).encode()).hexdigest()
    assert json.loads(schematic_as(plan, Format.JSON)) == {"id": number, "schematic": schematic(plan), "leftOut": []}
    text = schematic_as(plan, Format.TEXT)
    assert text.startswith(f"# schematic {number}\n")
    assert f"# factory.talos.dev/metal-installer/{number}:v1.13.6\n" in text
    assert yaml.safe_load(text) == schematic(plan)
