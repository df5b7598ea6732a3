"""The imager's profile documents, compared whole with stored ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from ci.common.arch import Arch
from ci.plan.profile import extension_path, profiles, render
from tests.unit.cozystack import DATA
from tests.unit.planning import plan_of, request, variant

if TYPE_CHECKING:
    from ci.plan.make import BuildRequest

EVERY = ("kernel", "initramfs", "cmdline", "uki", "installer", "iso", "metal", "nocloud")
CUSTOMIZED = "extensions: {add: [spin]}\nextraKernelArgs: [net.ifnames=0, -pti]\nmeta:\n  - {key: 0xa, value: hello}\n"

STORED: dict[str, BuildRequest] = {
    "v1.13.6-arm64": request("spin-only", outputs=EVERY),
    "v1.11.3-amd64": request(variant(CUSTOMIZED), arch=Arch.AMD64, tag="v0.38.2", outputs=EVERY),
}


@pytest.mark.parametrize("folder", STORED)
async def test_the_documents_are_the_stored_ones(folder: str) -> None:
    documents = profiles(await plan_of(STORED[folder]))
    stored = {path.stem: path.read_text() for path in (DATA / "profiles" / folder).iterdir()}
    assert {name: render(document) for name, document in documents.items()} == stored


async def test_the_initramfs_comes_first_and_is_built_for_what_embeds_it() -> None:
    assert list(profiles(await plan_of(request(outputs=("iso", "kernel"))))) == ["initramfs", "kernel", "iso"]


async def test_a_kernel_alone_needs_no_initramfs() -> None:
    assert list(profiles(await plan_of(request(outputs=("kernel", "cmdline"))))) == ["kernel", "cmdline"]


async def test_all_formats_of_a_disk_image_share_a_run() -> None:
    plan = await plan_of(request(outputs=("metal.raw", "metal.raw.xz", "metal.raw.zst")))
    assert list(profiles(plan)) == ["initramfs", "metal"]
    assert {output.kind_name for output in plan.outputs} == {"metal"}


@pytest.mark.parametrize(("arch", "other"), [(Arch.ARM64, "amd64"), (Arch.AMD64, "arm64")])
async def test_no_document_names_another_architecture(arch: Arch, other: str) -> None:
    documents = profiles(await plan_of(request("spin-tailscale", arch=arch, outputs=EVERY)))
    assert [name for name, document in documents.items() if other in render(document)] == []


async def test_kernel_and_command_line_are_the_same_for_both_variants() -> None:
    worker = profiles(await plan_of(request("spin-only", outputs=EVERY)))
    router = profiles(await plan_of(request("spin-tailscale", outputs=EVERY)))
    assert [name for name in worker if worker[name] != router[name]] == ["initramfs"]


async def test_a_variant_without_extensions_leaves_upstreams_initramfs_as_it_is() -> None:
    drops = "".join(
        f"    - {{name: {name}, reason: none wanted}}\n"
        for name in ("bnx2-bnx2x", "intel-ice-firmware", "qlogic-firmware", "drbd", "zfs")
    )
    plan = await plan_of(request(variant(f"extensions:\n  drop:\n{drops}")))
    assert plan.extensions == ()
    assert "systemExtensions" not in profiles(plan)["initramfs"]["input"]


async def test_documents_are_read_back_as_they_were() -> None:
    for document in profiles(await plan_of(STORED["v1.11.3-amd64"])).values():
        assert yaml.safe_load(render(document)) == document


async def test_an_extension_is_mounted_by_its_name() -> None:
    plan = await plan_of(request())
    assert extension_path(plan.extensions[-1]) == "/in/extensions/spin.tar"
