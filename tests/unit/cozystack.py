"""CozyStack checkouts to test with, made from the facts of real releases (`data/releases.json`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

DATA = Path(__file__).parent / "data"

#: File name → output kind, platform, image options, format: the same in all releases.
PROFILES = {
    "kernel": ("kernel", "metal", "{}", "raw"),
    "initramfs": ("initramfs", "metal", "{}", "raw"),
    "installer": ("installer", "metal", "{}", "raw"),
    "iso": ("iso", "metal", "{}", "raw"),
    "metal": ("image", "metal", "{ diskSize: 1306525696, diskFormat: raw }", ".xz"),
    "nocloud": ("image", "nocloud", "{ diskSize: 1306525696, diskFormat: raw }", ".xz"),
}

MATCHBOX_GROUP = '{"id": "default", "name": "default", "profile": "default"}\n'
MATCHBOX_PROFILE = '{"id": "default", "boot": {"kernel": "/assets/vmlinuz", "initrd": ["/assets/initramfs.xz"]}}\n'


class Release(TypedDict):
    """What is particular to a release."""

    layout: str
    talos: str
    installer: str
    matchbox: str
    extensions: list[str]


RELEASES: dict[str, Release] = json.loads((DATA / "releases.json").read_text())


def profile_text(release: Release, name: str) -> str:
    """Write a profile in upstream's form."""
    kind, platform, options, form = PROFILES[name]
    lines = [
        "arch: amd64",
        f"platform: {platform}",
        "secureboot: false",
        f"version: {release['talos']}",
        "input:",
        "  kernel:",
        "    path: /usr/install/amd64/vmlinuz",
        "  initramfs:",
        "    path: /usr/install/amd64/initramfs.xz",
        "  baseInstaller:",
        f'    imageRef: "{release["installer"]}"',
        "  systemExtensions:",
        *(f"    - imageRef: {reference}" for reference in release["extensions"]),
        "output:",
        f"  kind: {kind}",
        f"  imageOptions: {options}",
        f"  outFormat: {form}",
    ]
    return "\n".join(lines) + "\n"


def profile_path(tag: str, name: str) -> str:
    """Where a release has a profile."""
    return f"{RELEASES[tag]['layout']}/images/talos/profiles/{name}.yaml"


def checkout(tag: str) -> dict[str, str]:
    """The files of a release that describe its boot assets, and one that has nothing to do with them."""
    release = RELEASES[tag]
    images = f"{release['layout']}/images"
    return {
        "README.md": "# CozyStack\n",
        **{profile_path(tag, name): profile_text(release, name) for name in PROFILES},
        f"{images}/matchbox/Dockerfile": f"FROM {release['matchbox']}\n\nCOPY _out/assets/kernel-amd64 /var/lib/\n",
        f"{images}/matchbox/groups/default.json": MATCHBOX_GROUP,
        f"{images}/matchbox/profiles/default.json": MATCHBOX_PROFILE,
    }
