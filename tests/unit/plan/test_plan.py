"""Plans: what goes in, what stays out, why, and where everything comes from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ci.common.arch import Arch
from ci.common.errors import PlanError, VariantError
from ci.common.kinds import Initramfs
from ci.common.pins import DEFAULT_RELEASE, OLDEST_RELEASE
from ci.common.references import PinnedImage, Reference
from ci.plan.make import choose_source_date, make_plan
from ci.plan.model import Origin, Plan, PlannedOutput, SourceDate
from ci.plan.outputs import Compression, Layout
from ci.resolve.model import Dropped, DroppedBy, ImageUse, Need, PlannedExtension, Source
from ci.resolve.needs import catalog_need, extension_needs, release_needs
from tests.unit.catalogs import CATALOG, digest
from tests.unit.cozystack import DATA, RELEASES
from tests.unit.planning import Registry, plan_of, request, variant

OWN = f"ghcr.io/me/mine:v1@{digest('9')}"


def names(plan: Plan) -> list[str]:
    return [entry.name for entry in plan.extensions]


async def test_a_workers_plan_for_arm64() -> None:
    plan = await plan_of(request("spin-only"))
    assert names(plan) == ["bnx2-bnx2x", "intel-ice-firmware", "qlogic-firmware", "drbd", "zfs", "spin"]
    assert plan.extensions[4:] == (
        PlannedExtension(
            name="zfs",
            version="2.4.3-v1.13.6",
            reference="ghcr.io/siderolabs/zfs:2.4.3-v1.13.6",
            digest="sha256:3389808471eb857096cdf47a645b30b3e954bef0a9cb5d13a45b185796f606b6",
            source=Source.UPSTREAM,
            reason="in CozyStack's own set",
        ),
        PlannedExtension(
            name="spin",
            version="v0.22.0",
            reference="ghcr.io/siderolabs/spin:v0.22.0",
            digest=digest("5"),
            source=Source.CATALOG,
            reason="containerd shim that runs Spin applications (WebAssembly)",
        ),
    )
    assert [(entry.name, entry.by, entry.reason) for entry in plan.dropped] == [
        ("amd-ucode", DroppedBy.ARCHITECTURE, "CPU microcode for AMD's x86-64 processors: no use on arm64"),
        ("amdgpu", DroppedBy.ARCHITECTURE, "firmware and driver for amd64 only: the arm64 image is empty"),
        ("i915", DroppedBy.ARCHITECTURE, "firmware and driver for amd64 only: the arm64 image is empty"),
        ("intel-ucode", DroppedBy.ARCHITECTURE, "CPU microcode for Intel's x86-64 processors: no use on arm64"),
    ]
    assert plan.absent == ("tailscale",)
    assert plan.imager == PinnedImage(reference="ghcr.io/siderolabs/imager:v1.13.6", digest=digest("1"))
    assert plan.installer_base == PinnedImage(reference="ghcr.io/siderolabs/installer-base:v1.13.6", digest=digest("2"))
    assert plan.catalog == PinnedImage(reference="ghcr.io/siderolabs/extensions:v1.13.6", digest=digest("4"))


async def test_the_routers_plan_has_tailscale_too() -> None:
    worker, router = await plan_of(request("spin-only")), await plan_of(request("spin-tailscale"))
    assert names(router) == [*names(worker), "tailscale"]
    assert router.extensions[:-1] == worker.extensions


async def test_amd64_keeps_the_whole_of_upstreams_set() -> None:
    plan = await plan_of(request(arch=Arch.AMD64))
    assert [entry.pinned for entry in plan.extensions[:-1]] == RELEASES["v1.6.2"]["extensions"]
    assert plan.dropped == ()


@pytest.mark.parametrize("tag", RELEASES)
async def test_every_release_has_a_plan_for_arm64(tag: str) -> None:
    plan = await plan_of(request("spin-tailscale", tag=tag))
    assert names(plan) == [
        "bnx2-bnx2x", "intel-ice-firmware", "qlogic-firmware", "drbd", "zfs", "spin", "tailscale",
    ]  # fmt: skip
    pinned = [entry.pinned for entry in plan.extensions if entry.source is Source.UPSTREAM]
    assert pinned == [
        e for e in RELEASES[tag]["extensions"] if "ucode" not in e and "amdgpu" not in e and "i915" not in e
    ]
    assert plan.imager.reference == f"ghcr.io/siderolabs/imager:{RELEASES[tag]['talos']}"


async def test_a_plan_is_the_stored_one() -> None:
    plan = await plan_of(request("spin-only", outputs=("upstream",)))
    assert plan.to_json() == (DATA / "plan.json").read_text()


async def test_a_plan_survives_json_and_yaml() -> None:
    text = "extraKernelArgs: [a=1]\nmeta:\n  - {key: 10, value: 'x: y'}\nextensions: {add: [spin]}\n"
    plan = await plan_of(request(variant(text), outputs=("upstream", "uki")))
    assert Plan.parse(plan.to_json()) == plan
    assert Plan.parse(plan.to_yaml()) == plan


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "{", "variant: x\nunknown: y\n"])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match=r"^not a plan: "):
        Plan.parse(text)


async def test_the_same_request_gives_an_equal_plan_with_the_same_id() -> None:
    first, second = await plan_of(request()), await plan_of(request())
    assert first == second
    assert first.id == second.id


async def test_any_difference_gives_another_id() -> None:
    plan = await plan_of(request())
    others = [
        await plan_of(request("spin-tailscale")),
        await plan_of(request(arch=Arch.AMD64)),
        await plan_of(request(tag="v1.6.0-rc.1")),
        await plan_of(request(outputs=("kernel",))),
        plan.model_copy(update={"stand_in": True}),
        plan.model_copy(update={"imager": PinnedImage(reference=plan.imager.reference, digest=digest("f"))}),
    ]
    assert len({plan.id, *(other.id for other in others)}) == 7


# What is looked up


def test_what_upstream_names_by_tag_is_looked_up() -> None:
    wanted = request()
    assert catalog_need(wanted.variant, wanted.upstream) == Need(
        ImageUse.CATALOG, (Reference("ghcr.io/siderolabs/extensions", "v1.13.6"),)
    )
    assert extension_needs(wanted.variant, wanted.arch, wanted.upstream, CATALOG) == ()
    assert release_needs(wanted.upstream) == (
        Need(ImageUse.IMAGER, (Reference("ghcr.io/siderolabs/imager", "v1.13.6"),)),
        Need(
            ImageUse.INSTALLER_BASE,
            (
                Reference("ghcr.io/siderolabs/installer-base", "v1.13.6"),
                Reference("ghcr.io/siderolabs/installer", "v1.13.6"),
            ),
        ),
    )


async def test_where_a_release_has_no_base_image_the_installer_is_taken() -> None:
    plan = await plan_of(request(), Registry("ghcr.io/siderolabs/installer-base:v1.13.6"))
    assert plan.installer_base == PinnedImage(reference="ghcr.io/siderolabs/installer:v1.13.6", digest=digest("3"))


def test_a_base_that_upstream_pins_is_taken_as_it_is() -> None:
    wanted = request()
    pinned = replace(wanted.upstream, base_installer=Reference("ghcr.io/siderolabs/installer", "v1.13.6", digest("6")))
    need = release_needs(pinned)[1]
    assert need == Need(ImageUse.INSTALLER_BASE, (pinned.base_installer,))


async def test_an_extension_that_upstream_names_by_tag_is_looked_up() -> None:
    wanted = request()
    unpinned = (*wanted.upstream.extensions[:-1], Reference("ghcr.io/siderolabs/zfs", "2.4.3-v1.13.6"))
    wanted = replace(wanted, upstream=replace(wanted.upstream, extensions=unpinned))
    assert extension_needs(wanted.variant, wanted.arch, wanted.upstream, CATALOG) == (
        Need("extension/zfs", (unpinned[-1],)),
    )
    plan = await plan_of(wanted)
    assert {entry.name: entry.digest for entry in plan.extensions}["zfs"] == digest("4")


def test_what_was_not_looked_up_is_an_error() -> None:
    with pytest.raises(PlanError, match=r"^imager: its digest was not looked up$"):
        make_plan(request(), CATALOG, {})


async def test_without_a_name_for_it_the_catalog_is_not_asked() -> None:
    registry = Registry()
    plan = await plan_of(request(variant(f"extensions: {{add: ['{OWN}']}}\n")), registry)
    assert plan.catalog is None
    assert sorted(registry.asked) == [
        "ghcr.io/siderolabs/imager:v1.13.6", "ghcr.io/siderolabs/installer-base:v1.13.6",
    ]  # fmt: skip
    assert plan.extensions[-1] == PlannedExtension(
        name="mine",
        version="v1",
        reference="ghcr.io/me/mine:v1",
        digest=digest("9"),
        source=Source.OWN,
        reason="asked for by the variant",
    )


# What a variant changes


async def test_a_variant_drops_with_its_reason() -> None:
    plan = await plan_of(request(variant("extensions: {drop: [{name: zfs, reason: no pools here}]}\n")))
    assert "zfs" not in names(plan)
    assert plan.dropped[-1].model_dump() == {
        "name": "zfs",
        "reference": RELEASES["v1.6.2"]["extensions"][-1],
        "by": DroppedBy.VARIANT,
        "reason": "no pools here",
    }


async def test_an_image_of_ones_own_takes_upstreams_place() -> None:
    own = f"ghcr.io/me/drbd:9.4.0@{digest('9')}"
    plan = await plan_of(request(variant(f"extensions: {{add: [{{reference: '{own}', reason: newer}}]}}\n")))
    assert names(plan) == ["bnx2-bnx2x", "intel-ice-firmware", "qlogic-firmware", "drbd", "zfs"]
    assert plan.extensions[3].pinned == own
    (replaced,) = (entry for entry in plan.dropped if entry.name == "drbd")
    assert replaced == Dropped(
        name="drbd",
        reference=RELEASES["v1.6.2"]["extensions"][-2],
        by=DroppedBy.VARIANT,
        reason=f"the variant has its own: {own}",
    )


async def test_the_catalogs_own_version_may_be_named() -> None:
    plan = await plan_of(request(variant("extensions: {add: ['spin:v0.22.0']}\n")))
    assert (plan.extensions[-1].digest, plan.extensions[-1].source) == (digest("5"), Source.CATALOG)


async def test_another_version_is_looked_up_in_the_catalogs_repository() -> None:
    plan = await plan_of(request(variant("extensions: {add: ['spin:v0.21.0']}\n")))
    assert plan.extensions[-1] == PlannedExtension(
        name="spin",
        version="v0.21.0",
        reference="ghcr.io/siderolabs/spin:v0.21.0",
        digest=digest("4"),
        source=Source.OWN,
        reason="asked for by the variant (version chosen by the variant; the catalog has v0.22.0)",
    )


DRBD = "ghcr.io/siderolabs/drbd:9.3.2-v1.13.6"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "extensions:\n  add:\n    - spin\n    - tailscal\n",
            "6: unknown extension 'tailscal': the catalog of Talos v1.13.6 has no such name; did you mean tailscale?",
        ),
        (
            "extensions:\n  add:\n    - nvidia-open-gpu-kernel-modules\n",
            (
                "5: unknown extension 'nvidia-open-gpu-kernel-modules': the catalog of Talos v1.13.6 has no such name; "
                "it is called nvidia-open-gpu-kernel-modules-lts there: write nvidia-open-gpu-kernel-modules-lts"
            ),
        ),
        (
            "extensions:\n  add:\n    - xyz\n",
            (
                "5: unknown extension 'xyz': the catalog of Talos v1.13.6 has no such name; choose one of drbd, "
                "nvidia-open-gpu-kernel-modules-lts, spin, tailscale"
            ),
        ),
        (
            "extensions:\n  add: [drbd]\n",
            (
                f"4: 'drbd' is in CozyStack's set already, as {DRBD}: take the line out, or give "
                "reference: IMAGE@sha256:… to have an image of your own instead"
            ),
        ),
        (
            "extensions:\n  add: ['nvidia-open-gpu-kernel-modules-lts:570.1-v1.12.7']\n",
            (
                "4: nvidia-open-gpu-kernel-modules-lts 570.1-v1.12.7 is built for Talos v1.12.7, the image is of "
                "v1.13.6: the catalog has 580.95.05-v1.13.6"
            ),
        ),
        (
            "extensions:\n  drop:\n    - {name: zsf, reason: x}\n",
            "5: 'zsf' is not in CozyStack's set, so it can't be dropped: did you mean zfs?",
        ),
        (
            "architectures: [amd64]\n",
            "3: variant 'mine' is not made for arm64: it is for amd64",
        ),
    ],
)
async def test_a_variant_that_does_not_fit_is_refused_with_file_and_line(text: str, message: str) -> None:
    with pytest.raises(VariantError) as raised:
        await plan_of(request(variant(text)))
    assert str(raised.value) == f"variants/mine.yaml:{message}"


# Outputs


async def test_an_output_says_everything_of_its_run() -> None:
    plan = await plan_of(request(outputs=("kernel", "installer", "metal"), tag="v0.38.2"))
    assert plan.outputs == (
        PlannedOutput(
            name="kernel",
            imager_kind="kernel",
            platform="metal",
            imager_file="kernel-arm64",
            path="boot/vmlinuz",
            media_type="application/octet-stream",
            initramfs=Initramfs.NONE,
            compression=Compression.NONE,
            base_installer=False,
        ),
        PlannedOutput(
            name="installer",
            imager_kind="installer",
            platform="metal",
            imager_file="installer-arm64.tar",
            path="installer/installer-arm64.tar",
            media_type="application/x-tar",
            initramfs=Initramfs.READY,
            compression=Compression.NONE,
            base_installer=True,
        ),
        PlannedOutput(
            name="metal.raw.zst",
            imager_kind="image",
            platform="metal",
            imager_file="metal-arm64.raw",
            path="metal/metal-arm64.raw.zst",
            media_type="application/zstd",
            initramfs=Initramfs.READY,
            compression=Compression.ZSTD,
            base_installer=False,
            disk_size=1306525696,
            privileged="the imager of Talos v1.11.3 partitions a disk image through a loop device and mounts it; "
            "from v1.13 on it does without",
        ),
    )


async def test_the_upstream_layout_is_kept_in_the_plan() -> None:
    plan = await plan_of(request(arch=Arch.AMD64, outputs=("metal",), layout=Layout.UPSTREAM))
    assert (plan.layout, plan.outputs[0].path) == (Layout.UPSTREAM, "metal-amd64.raw.xz")


@pytest.mark.parametrize(
    ("outputs", "builds"), [(("kernel",), False), (("cmdline",), False), (("initramfs",), True), (("iso",), True)]
)
async def test_the_initramfs_is_built_where_something_holds_it(outputs: tuple[str, ...], builds: bool) -> None:
    assert (await plan_of(request(outputs=outputs))).builds_initramfs is builds


# The time of all timestamps


@pytest.mark.parametrize(
    ("given", "commit", "date", "chosen"),
    [
        (5, DEFAULT_RELEASE.commit, 6, SourceDate(epoch=5, source="given")),
        (0, None, None, SourceDate(epoch=0, source="given")),
        (None, "c0ffee", 6, SourceDate(epoch=6, source="date of commit c0ffee")),
        (None, None, 6, SourceDate(epoch=6, source="date of commit of the checkout")),
        (
            None,
            "bfde94fd26d35c5f0281a1285f194e7ca3041b6a",
            None,
            SourceDate(epoch=1787125936, source="date of v1.6.2's commit bfde94fd26d35c5f0281a1285f194e7ca3041b6a"),
        ),
        (
            None,
            "c0ffee",
            None,
            SourceDate(epoch=1735689600, source="fixed: the checkout does not tell its commit's date"),
        ),
    ],
)
def test_where_timestamps_come_from(
    given: int | None, commit: str | None, date: int | None, chosen: SourceDate
) -> None:
    assert choose_source_date(given, Origin(where="somewhere", commit=commit), date) == chosen


@pytest.mark.parametrize("given", [-1, 2**31])
def test_a_time_that_no_format_can_hold_is_refused(given: int) -> None:
    with pytest.raises(PlanError, match=rf"^bad source date epoch {given}: it is in seconds since 1970, from 0 to"):
        choose_source_date(given, Origin(where="somewhere"), None)


def test_the_releases_named_by_the_project_are_known_by_facts() -> None:
    assert (DEFAULT_RELEASE.tag, OLDEST_RELEASE.tag) == ("v1.6.2", "v0.38.2")
    assert {DEFAULT_RELEASE.tag, OLDEST_RELEASE.tag} <= set(RELEASES)
