"""The requirements of container images: what meets them, and which one each fault breaks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from ci.plan.images import KINDS, image_spec
from ci.verify.checks_images import (
    REQUIREMENTS,
    ExpectedImage,
    FoundImage,
    ImageEntry,
    run_image_checks,
)
from ci.verify.checksums import render_checksums
from tests.unit.planning import plan_of, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.verify.model import Check

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
FOLDER = ImageEntry(type="directory")
BUILT = ("boot/vmlinuz", "boot/initramfs.xz", "cmdline/cmdline-metal-arm64")
VALIDATION = tuple(f"validation/{name}" for name in ("build-report.json", "build-report.txt", "build-report.html",
                                                     "sbom.spdx.json", "provenance.json"))  # fmt: skip
UNLISTED = (
    "checksums.sha256",
    "validation/build-report.json",
    "validation/build-report.txt",
    "validation/build-report.html",
)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def file(content: str) -> ImageEntry:
    return ImageEntry(type="file", sha256=sha(content))


def link(target: str, kind: str = "symlink") -> ImageEntry:
    return ImageEntry(type=kind, target=target)


async def labels_of(kind: str) -> dict[str, str]:
    return image_spec(await plan_of(request()), KINDS[kind]).labels


def folders(*paths: str) -> dict[str, ImageEntry]:
    return {path[:at]: FOLDER for path in paths for at, letter in enumerate(path) if letter == "/"}


async def assets() -> tuple[FoundImage, ExpectedImage]:
    labels = await labels_of("assets")
    written = [*BUILT, *VALIDATION]
    checksums = render_checksums({name: sha(name) for name in written if name not in UNLISTED})
    entries = {f"assets/{name}": file(name) for name in written} | {"assets/checksums.sha256": file(checksums)}
    found = FoundImage(platform="linux/arm64", labels=labels, annotations=labels, digest=DIGEST,
                       entries=folders(*entries) | entries, checksums=checksums)  # fmt: skip
    files: dict[str, str | None] = {f"assets/{name}": sha(name) for name in BUILT}
    return found, ExpectedImage(kind="assets", platform="linux/arm64", labels=labels, digest=DIGEST, files=files)


async def installer() -> tuple[FoundImage, ExpectedImage]:
    labels = await labels_of("installer")
    entries = {
        "bin": link("usr/bin"),
        "usr/bin/installer": link("../sbin/installer"),
        "usr/sbin/installer": file("installer"),
        "usr/install/arm64/vmlinuz.efi": file("uki"),
        "usr/install/arm64/systemd-boot.efi": file("loader"),
    }
    found = FoundImage(platform="linux/arm64/v8", labels=labels | {"alpha.talos.dev/version": "v1.13.6"},
                       annotations=labels, digest=DIGEST, entrypoint=("/bin/installer",),
                       entries=folders(*entries) | entries)  # fmt: skip
    return found, ExpectedImage(kind="installer", platform="linux/arm64", labels=labels, digest=DIGEST)


async def matchbox() -> tuple[FoundImage, ExpectedImage]:
    labels = await labels_of("matchbox")
    home = "var/lib/matchbox"
    boot = {f"{home}/assets/vmlinuz": "kernel", f"{home}/assets/initramfs.xz": "initramfs"}
    entries = {path: file(content) for path, content in boot.items()}
    entries |= {f"{home}/profiles/default.json": file("{}"), f"{home}/groups/default.json": file("{}")}
    entries |= {"matchbox": file("matchbox")}
    found = FoundImage(platform="linux/arm64", labels=labels, annotations=labels, digest=DIGEST,
                       entrypoint=("/matchbox",), entries=folders(*entries) | entries)  # fmt: skip
    files: dict[str, str | None] = {path: sha(content) for path, content in boot.items()}
    expected = ExpectedImage(kind="matchbox", platform="linux/arm64", labels=labels, digest=DIGEST, files=files)
    return found, expected


GOOD: dict[str, Callable[[], Any]] = {"assets": assets, "installer": installer, "matchbox": matchbox}


def status(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.id: check.status for check in checks}


@pytest.mark.parametrize("kind", GOOD)
async def test_a_good_image_passes_as_it_was_made_and_as_it_was_published(kind: str) -> None:
    found, expected = await GOOD[kind]()
    passed = dict.fromkeys([one.id for one in REQUIREMENTS], "pass")
    unknown = {} if kind != "installer" else {"image.checksums": "skip"}
    assert status(run_image_checks(found, expected)) == passed | unknown
    published = ExpectedImage(platform="linux/arm64")
    known = {"assets": {}, "installer": {"image.checksums": "skip"}, "matchbox": {"image.checksums": "skip"}}
    assert status(run_image_checks(found, published)) == passed | known[kind]


def with_entries(**changes: ImageEntry | None) -> Callable[[FoundImage], dict[str, Any]]:
    def change(found: FoundImage) -> dict[str, Any]:
        entries = found.entries | {path: entry for path, entry in changes.items() if entry}
        return {"entries": {path: entry for path, entry in entries.items() if changes.get(path, entry) is not None}}

    return change


def without_line(found: FoundImage) -> dict[str, Any]:
    return {"checksums": "\n".join((found.checksums or "").splitlines()[1:]) + "\n"}


def said(field: str, **changes: str | None) -> Callable[[FoundImage], dict[str, Any]]:
    def change(found: FoundImage) -> dict[str, Any]:
        words = getattr(found, field) | {f"io.cozystack.talos.{key}": value for key, value in changes.items()}
        return {field: {key: value for key, value in words.items() if value is not None}}

    return change


KERNEL = "assets/boot/vmlinuz"
HOME = "var/lib/matchbox"
BROKEN: list[tuple[str, str, Callable[[FoundImage], dict[str, Any]], str]] = [
    ("assets", "image.platform", lambda _: {"platform": "linux/amd64"}, "is for linux/amd64, linux/arm64 is wanted"),
    ("installer", "image.platform", lambda _: {"platform": "windows/arm64"}, "is for windows/arm64"),
    ("assets", "image.labels", said("labels", variant="spin-tailscale"), "talos.variant is 'spin-tailscale', it shou"),
    ("installer", "image.labels", said("labels", plan=None), "the label io.cozystack.talos.plan is missing"),
    ("matchbox", "image.labels", said("labels", secureboot="1"), "io.cozystack.talos.secureboot is not planned: '1'"),
    ("assets", "image.annotations", said("annotations", plan="x"), "annotation io.cozystack.talos.plan is 'x', it sh"),
    ("installer", "image.annotations", said("annotations", role=None), "io.cozystack.talos.role is missing, it shoul"),
    ("assets", "image.annotations", said("annotations", other="x"), "io.cozystack.talos.other is not planned: 'x'"),
    ("assets", "image.digests", lambda _: {"digest": OTHER}, f"digest is {OTHER}, {DIGEST} is said to be"),
    ("matchbox", "image.digests", lambda _: {"complaint": "mismatched"}, "crane validate: mismatched"),
    ("assets", "image.files", with_entries(**{"assets/boot/more": file("x")}), "/assets/boot/more is not planned"),
    ("assets", "image.files", with_entries(etc=FOLDER), "/etc is not planned"),
    ("assets", "image.files", with_entries(**{"assets/empty": FOLDER}), "/assets/empty is not planned"),
    ("assets", "image.files", with_entries(**{KERNEL: None}), f"/{KERNEL} is missing"),
    ("assets", "image.files", with_entries(**{KERNEL: link("x")}), f"/{KERNEL} is a symlink, a file belongs there"),
    ("assets", "image.files", with_entries(**{"assets/validation/sbom.spdx.json": None}), "sbom.spdx.json is missing"),
    ("assets", "image.files", with_entries(**{"assets/checksums.sha256": None}), "checksums.sha256 is missing"),
    ("installer", "image.files", with_entries(**{"usr/install/arm64/vmlinuz.efi": None}), "vmlinuz.efi is missing"),
    ("installer", "image.files", with_entries(**{"usr/install/amd64/vmlinuz": file("x")}), "of another architecture"),
    ("installer", "image.files", with_entries(**{"usr/sbin/installer": None}), "/bin/installer is not in the image"),
    ("installer", "image.files", with_entries(bin=link("bin")), "the entrypoint /bin/installer is not in the image"),
    ("installer", "image.files", lambda _: {"entrypoint": ()}, "the image has no entrypoint"),
    ("matchbox", "image.files", with_entries(**{f"{HOME}/assets/initramfs.xz": None}), "initramfs.xz is missing"),
    ("matchbox", "image.files", with_entries(**{f"{HOME}/profiles/default.json": None}), "profiles holds no profile"),
    ("matchbox", "image.files", with_entries(matchbox=FOLDER), "the entrypoint /matchbox is not in the image"),
    ("assets", "image.checksums", with_entries(**{KERNEL: file("other")}), f"/{KERNEL} is {sha('other')}, checksums."),
    ("assets", "image.checksums", without_line, "is not listed"),
    ("assets", "image.checksums", lambda _: {"checksums": None}, "/assets/checksums.sha256 is missing"),
    ("assets", "image.checksums", lambda _: {"checksums": "word\n"}, "'word' is no line of sha256sum"),
    ("assets", "image.checksums", lambda found: {"checksums": f"{found.checksums}" * 2}, "is listed 2 times"),
    ("matchbox", "image.checksums", with_entries(**{f"{HOME}/assets/vmlinuz": file("x")}), "the build made"),
]


@pytest.mark.parametrize(("kind", "requirement", "change", "evidence"), BROKEN)
async def test_a_fault_breaks_its_requirement(
    kind: str, requirement: str, change: Callable[[FoundImage], dict[str, Any]], evidence: str
) -> None:
    found, expected = await GOOD[kind]()
    checks = {check.id: check for check in run_image_checks(found.model_copy(update=change(found)), expected)}
    assert checks[requirement].status == "fail"
    assert any(evidence in line for line in checks[requirement].evidence), checks[requirement].evidence


def test_every_requirement_is_broken_by_a_fault() -> None:
    assert {row[1] for row in BROKEN} == {one.id for one in REQUIREMENTS}


ITSELF: list[tuple[str, Callable[[FoundImage], dict[str, Any]]]] = [
    ("image.platform", lambda _: {"platform": "linux/amd64"}),
    ("image.labels", said("labels", role=None)),
    ("image.annotations", said("annotations", variant="spin-tailscale")),
    ("image.annotations", said("annotations", plan=None)),
    ("image.digests", lambda _: {"complaint": "x"}),
    ("image.files", with_entries(**{"assets/more": file("x")})),
    ("image.files", with_entries(**{KERNEL: None})),
    ("image.checksums", with_entries(**{KERNEL: file("x")})),
]


@pytest.mark.parametrize(("requirement", "change"), ITSELF)
async def test_a_published_image_is_held_against_itself(
    requirement: str, change: Callable[[FoundImage], dict[str, Any]]
) -> None:
    found, _ = await assets()
    checks = run_image_checks(found.model_copy(update=change(found)), ExpectedImage(platform="linux/arm64"))
    assert status(checks)[requirement] == "fail"


async def test_an_image_of_others_is_not_asked_for_what_it_need_not_say() -> None:
    found = FoundImage(platform="linux/arm64", labels={}, entries={"bin/sh": file("x")}, unknown="not asked")
    checks = run_image_checks(found, ExpectedImage(platform="linux/arm64"))
    assert status(checks) == {
        "image.platform": "pass", "image.labels": "skip", "image.annotations": "skip", "image.digests": "pass",
        "image.files": "skip", "image.checksums": "skip",
    }  # fmt: skip


async def test_what_is_not_known_of_a_manifest_is_skipped_with_the_reason() -> None:
    found, _ = await assets()
    found = found.model_copy(update={"annotations": None, "digest": None, "unknown": "the registry is not there"})
    checks = {check.id: check for check in run_image_checks(found, ExpectedImage(platform="linux/arm64"))}
    assert (checks["image.annotations"].status, checks["image.annotations"].evidence) == (
        "skip", ("the registry is not there",),
    )  # fmt: skip
