"""Overlays for single-board computers, and the lists of them: real layouts, with Debian's firmware and U-Boot."""

from __future__ import annotations

from typing import Final

from embedded.lab import golang
from embedded.lab.contents.catalog import pinned
from embedded.lab.contents.kernel import DEVICE_TREES
from embedded.lab.contents.layers import layer
from embedded.lab.contents.releases import REGISTRY, RELEASES, Release
from embedded.lab.debian import ARCHITECTURES, Packages
from embedded.lab.oci import Platform
from embedded.lab.recipe import Bench, Recipe, Value
from embedded.lab.tree import Tree

FIRMWARE: Final = "part/raspberrypi"
_PACKAGES: Final = ("raspi-firmware", "u-boot-rpi:arm64")
_KERNEL: Final = "part/kernel/arm64"
_HOME: Final = "artifacts/arm64"
_PROGRAM: Final = (golang.PROGRAMS / "go.mod", golang.PROGRAMS / "go.sum", golang.PROGRAMS / "overlay")


def raspberry_pi(release: Release) -> str:
    """Return the reference of the overlay image that belongs to a Talos release."""
    return f"{REGISTRY}/sbc-raspberrypi:{release.raspberry_pi}"


def profile() -> str:
    """Return the profile that comes with a board: a disk image, which only boots by GRUB there."""
    return (
        "# STAND-IN: made by the cozystack-talos lab\n"
        "arch: arm64\n"
        "platform: metal\n"
        "secureboot: false\n"
        "output:\n"
        "  kind: image\n"
        "  outFormat: .xz\n"
        "  imageOptions:\n"
        "    diskSize: 1306525696\n"
        "    diskFormat: raw\n"
        "    bootloader: grub\n"
    )


def _firmware() -> Recipe:
    def make(bench: Bench) -> Value:
        unpacked = bench.scratch / "unpacked"
        Packages(bench).unpack(_PACKAGES, unpacked)
        (unpacked / "usr/lib/raspi-firmware").rename(bench.out / "boot")
        (unpacked / "usr/lib/u-boot/rpi_arm64/u-boot.bin").rename(bench.out / "u-boot.bin")
        return {}

    return Recipe(FIRMWARE, make, (), {"packages": _PACKAGES})


def _image(release: Release) -> Recipe:
    def make(bench: Bench) -> Value:
        source, trees = bench.need(FIRMWARE).folder, bench.need(_KERNEL).folder / "device-trees"
        platforms: list[Platform] = []
        for name in ARCHITECTURES:
            tree = (
                Tree()
                .copy(source / "boot", f"{_HOME}/firmware/boot")
                .copy(source / "u-boot.bin", f"{_HOME}/u-boot/rpi_generic/u-boot.bin")
            )
            for board, files in DEVICE_TREES.items():
                if board in release.boards:
                    folder = {"rpi_generic": f"{_HOME}/firmware/boot"}.get(board, f"artifacts/{board}")
                    for file in files:
                        tree.copy(trees / file, f"{folder}/{file}")
            for board in release.boards:
                variables = {"main.board": board}
                golang.build(bench, golang.PROGRAMS, {board: "./overlay"}, name, bench.scratch / name, variables)
                tree.copy(bench.scratch / name / board, f"installers/{board}").text(f"profiles/{board}.yaml", profile())
            platforms.append(Platform(name, [layer(bench, tree)]))
        description = "an overlay for Raspberry Pi with Debian's firmware and U-Boot"
        return bench.image(bench.blobs.put_image(platforms, description=description))

    inputs = {"boards": release.boards, "trees": DEVICE_TREES}
    return Recipe(raspberry_pi(release), make, (FIRMWARE, _KERNEL), inputs, _PROGRAM, compiles=True)


def _list(release: Release) -> Recipe:
    image = raspberry_pi(release)

    def make(bench: Bench) -> Value:
        digest = pinned(bench, image).partition("@")[2]
        entries = [f"  - name: {board}\n    image: {image}\n    digest: {digest}\n" for board in release.boards]
        tree = Tree().text("overlays.yaml", "overlays:\n" + "".join(entries))
        platforms = [Platform(name, [layer(bench, tree)]) for name in ARCHITECTURES]
        description = f"the lab's list of overlays, as of Talos {release.talos}"
        return bench.image(bench.blobs.put_image(platforms, description=description))

    return Recipe(f"{REGISTRY}/overlays:{release.talos}", make, (image,), {"boards": release.boards})


def recipes() -> list[Recipe]:
    """Return the recipes of the overlays, of their lists and of what they are made of."""
    return [_firmware(), *(recipe(release) for release in RELEASES for recipe in (_image, _list))]
