"""CozyStack's checkouts: every real release is understood, whatever is not as it should be is refused."""

from __future__ import annotations

import pytest

from ci.common.arch import Arch
from ci.common.errors import UpstreamError
from ci.common.references import parse_reference
from ci.load.layouts import PATTERNS
from ci.load.upstream import ProfileFacts, load_upstream, parse_release
from tests.unit.cozystack import MATCHBOX_GROUP, MATCHBOX_PROFILE, PROFILES, RELEASES, checkout, profile_path

TAG = "v1.6.2"


def changed(name: str, old: str, new: str, tag: str = TAG) -> dict[str, str]:
    """A checkout with one profile changed."""
    files = checkout(tag)
    path = profile_path(tag, name)
    assert old in files[path]
    return {**files, path: files[path].replace(old, new)}


def everywhere(old: str, new: str) -> dict[str, str]:
    """A checkout with all profiles changed alike."""
    return {path: text.replace(old, new) for path, text in checkout(TAG).items()}


def refusal(files: dict[str, str]) -> str:
    with pytest.raises(UpstreamError) as raised:
        load_upstream(files)
    return str(raised.value)


@pytest.mark.parametrize("tag", RELEASES)
def test_a_real_release_is_understood(tag: str) -> None:
    release = RELEASES[tag]
    upstream = load_upstream(checkout(tag))
    assert upstream.layout == release["layout"]
    assert upstream.talos_version == release["talos"]
    assert upstream.arch is Arch.AMD64
    assert str(upstream.base_installer) == f"ghcr.io/siderolabs/installer:{release['talos']}"
    assert [str(reference) for reference in upstream.extensions] == release["extensions"]
    assert upstream.matchbox is not None
    assert str(upstream.matchbox.base) == release["matchbox"]


@pytest.mark.parametrize("tag", ["v1.6.2", "v0.38.2", "v1.7.0-rc.1", "v1.0.0-beta.3"])
def test_a_releases_tag_is_taken(tag: str) -> None:
    assert parse_release(tag) == tag


@pytest.mark.parametrize("text", ["", "1.6.2", "v1.6", "latest", "main", "v1.6.2 ", "v1.6.2-", "refs/tags/v1.6.2"])
def test_what_is_no_tag_of_a_release_is_refused_with_one(text: str) -> None:
    with pytest.raises(UpstreamError) as raised:
        parse_release(text)
    assert str(raised.value) == f"--release: bad release {text!r}: write CozyStack's tag, such as v1.6.2"


def test_the_releases_cover_both_layouts_and_every_talos_version_since_v0_38() -> None:
    assert {release["layout"] for release in RELEASES.values()} == {"packages/core/talos", "packages/core/installer"}
    assert {release["talos"] for release in RELEASES.values()} == {
        "v1.11.3", "v1.11.6", "v1.12.1", "v1.12.6", "v1.12.7", "v1.13.0", "v1.13.5", "v1.13.6",
    }  # fmt: skip


def test_the_newest_release_has_these_extensions() -> None:
    upstream = load_upstream(checkout(TAG))
    assert [(reference.name, reference.tag) for reference in upstream.extensions] == [
        ("amd-ucode", "20260622"),
        ("amdgpu", "20260622-v1.13.6"),
        ("bnx2-bnx2x", "20260622"),
        ("intel-ice-firmware", "20260622"),
        ("i915", "20260622-v1.13.6"),
        ("intel-ucode", "20260512"),
        ("qlogic-firmware", "20260622"),
        ("drbd", "9.3.2-v1.13.6"),
        ("zfs", "2.4.3-v1.13.6"),
    ]
    assert upstream.extensions[-1].digest == "sha256:3389808471eb857096cdf47a645b30b3e954bef0a9cb5d13a45b185796f606b6"


def test_the_profiles_facts_are_kept() -> None:
    profiles = load_upstream(checkout(TAG)).profiles
    assert dict(profiles) == {
        "kernel": ProfileFacts(),
        "initramfs": ProfileFacts(),
        "installer": ProfileFacts(),
        "iso": ProfileFacts(),
        "metal": ProfileFacts(disk_size=1306525696),
        "nocloud": ProfileFacts(disk_size=1306525696),
    }


def test_upstreams_kernel_arguments_are_kept() -> None:
    files = everywhere("input:\n", "customization:\n  extraKernelArgs: [net.ifnames=0]\ninput:\n")
    assert load_upstream(files).profiles["iso"].extra_kernel_args == ("net.ifnames=0",)


def test_the_matchbox_files_are_kept_as_they_are() -> None:
    matchbox = load_upstream(checkout(TAG)).matchbox
    assert matchbox is not None
    assert matchbox.groups == {"default.json": MATCHBOX_GROUP}
    assert matchbox.profiles == {"default.json": MATCHBOX_PROFILE}
    digest = "sha256:06bcdae85335fd00e8277b007b55cfb49d96a0114628c0f70db2b92b079d246a"
    assert matchbox.base == parse_reference(f"quay.io/poseidon/matchbox:v0.11.0@{digest}")


def test_a_checkout_without_matchbox_or_without_its_dockerfile_is_understood() -> None:
    files = checkout(TAG)
    no_dockerfile = {path: text for path, text in files.items() if not path.endswith("Dockerfile")}
    matchbox = load_upstream(no_dockerfile).matchbox
    assert matchbox is not None
    assert matchbox.base is None
    assert load_upstream({path: text for path, text in files.items() if "matchbox" not in path}).matchbox is None


def test_profiles_of_arm64_are_understood_too() -> None:
    assert load_upstream(everywhere("amd64", "arm64")).arch is Arch.ARM64


def test_all_that_is_read_matches_the_patterns() -> None:
    assert PATTERNS == (
        "packages/core/talos/images/talos/profiles/*.yaml",
        "packages/core/talos/images/matchbox/**",
        "packages/core/installer/images/talos/profiles/*.yaml",
        "packages/core/installer/images/matchbox/**",
    )


@pytest.mark.parametrize("name", PROFILES)
def test_a_missing_kind_is_refused(name: str) -> None:
    files = checkout(TAG)
    del files[profile_path(TAG, name)]
    others = ", ".join(sorted(f"{other}.yaml" for other in PROFILES if other != name))
    assert refusal(files) == (
        f"packages/core/talos/images/talos/profiles/{name}.yaml: no profile of kind {name}; the folder has {others}"
    )


def test_a_checkout_of_something_else_is_refused() -> None:
    assert refusal({"README.md": "hello"}) == (
        "--upstream: no Talos profiles: a CozyStack checkout (v0.38 or later) has them in "
        "packages/core/talos/images/talos/profiles/ or packages/core/installer/images/talos/profiles/"
    )


def test_profiles_in_both_layouts_are_refused() -> None:
    assert refusal({**checkout(TAG), **checkout("v0.38.2")}) == (
        "--upstream: there are profiles in both packages/core/talos/images/talos/profiles/ and "
        "packages/core/installer/images/talos/profiles/: which of them count is not clear"
    )


FOLDER = "packages/core/talos/images/talos/profiles"
ZFS = "ghcr.io/siderolabs/zfs:2.4.3-v1.13.6@sha256:3389808471eb857096cdf47a645b30b3e954bef0a9cb5d13a45b185796f606b6"
DRBD = "ghcr.io/siderolabs/drbd:9.3.2-v1.13.6@sha256:4a6f77f4e3fde41f3656f72d7d68380356afbb289254af8263a154cf7b70598e"


def test_kinds_that_disagree_on_the_talos_version_are_refused() -> None:
    files = checkout(TAG)
    path = profile_path(TAG, "iso")
    files[path] = files[path].replace("v1.13.6", "v1.13.5")
    assert refusal(files) == (
        f"{FOLDER}/iso.yaml:4: iso and kernel disagree on the Talos version: "
        f"v1.13.5 here, v1.13.6 in {FOLDER}/kernel.yaml"
    )


def test_kinds_that_disagree_on_the_architecture_are_refused() -> None:
    assert refusal(changed("metal", "amd64", "arm64")) == (
        f"{FOLDER}/metal.yaml:1: metal and kernel disagree on the architecture: "
        f"arm64 here, amd64 in {FOLDER}/kernel.yaml"
    )


def test_kinds_that_disagree_on_the_base_installer_are_refused() -> None:
    assert refusal(changed("installer", "siderolabs/installer", "someone/installer")) == (
        f"{FOLDER}/installer.yaml:11: installer and kernel disagree on the base installer: "
        f"ghcr.io/someone/installer:v1.13.6 here, ghcr.io/siderolabs/installer:v1.13.6 in {FOLDER}/kernel.yaml"
    )


def test_kinds_that_disagree_on_the_extensions_are_refused() -> None:
    assert refusal(changed("nocloud", f"    - imageRef: {ZFS}\n", "")) == (
        f"{FOLDER}/nocloud.yaml:12: nocloud and kernel disagree on the extensions: {ZFS}"
    )


def test_kinds_that_disagree_on_the_order_of_the_extensions_are_refused() -> None:
    swapped = changed("nocloud", f"{DRBD}\n    - imageRef: {ZFS}", f"{ZFS}\n    - imageRef: {DRBD}")
    assert refusal(swapped) == f"{FOLDER}/nocloud.yaml:12: nocloud and kernel disagree on the extensions: their order"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "kernel",
            "arch: amd64",
            "arch: arm64",
            ("kernel.yaml:7: input.kernel.path is '/usr/install/amd64/vmlinuz', a path of amd64, "
            "but the profile's arch is arm64"),
        ),
        (
            "kernel",
            "amd64/initramfs.xz",
            "arm64/initramfs.xz",
            ("kernel.yaml:9: input.initramfs.path is '/usr/install/arm64/initramfs.xz', a path of arm64, "
            "but the profile's arch is amd64"),
        ),
        (
            "iso",
            "/usr/install/amd64/vmlinuz",
            "/boot/vmlinuz",
            "iso.yaml:7: input.kernel.path is '/boot/vmlinuz': /usr/install/amd64/vmlinuz is expected",
        ),
        (
            "kernel",
            "arch: amd64",
            "arch: riscv64",
            "kernel.yaml:1: arch: input should be 'arm64' or 'amd64', not 'riscv64'",
        ),
        ("kernel", "arch: amd64\n", "", "kernel.yaml:1: 'arch' is missing"),
        (
            "kernel",
            "version: v1.13.6",
            "version: 1.13",
            "kernel.yaml:4: version: a text is expected, not 1.13",
        ),
        (
            "kernel",
            "version: v1.13.6",
            "version: latest",
            "kernel.yaml:4: version: bad Talos version 'latest': it looks like v1.13.6",
        ),
        (
            "kernel",
            "installer:v1.13.6",
            "installer:v1.12.0",
            "kernel.yaml:11: base installer ghcr.io/siderolabs/installer:v1.12.0 is not of Talos v1.13.6",
        ),
        (
            "initramfs",
            "drbd:9.3.2-v1.13.6",
            "drbd:9.3.2-v1.12.7",
            ("initramfs.yaml:20: ghcr.io/siderolabs/drbd:9.3.2-v1.12.7 is built for Talos v1.12.7, "
            "the profile is of v1.13.6"),
        ),
        ("initramfs", DRBD, ZFS, "initramfs.yaml:21: extension 'zfs' is listed twice"),
        (
            "initramfs",
            ZFS,
            "zfs",
            ("initramfs.yaml:21: input.systemExtensions[8].imageRef: bad image reference 'zfs': write "
            "REGISTRY/PATH:TAG@sha256:DIGEST, in lower case, for example ghcr.io/siderolabs/zfs:2.4.3-v1.13.6"),
        ),
        (
            "initramfs",
            f"imageRef: {ZFS}",
            "tarballPath: /zfs.tar",
            "initramfs.yaml:21: unknown key 'input.systemExtensions[8].tarballPath': only imageRef is known",
        ),
        ("iso", "kind: iso", "kind: uki", "iso.yaml:23: output.kind is 'uki', but iso.yaml is for 'iso'"),
        (
            "nocloud",
            "platform: nocloud",
            "platform: metal",
            "nocloud.yaml:2: platform is 'metal', but nocloud.yaml is for 'nocloud'",
        ),
        (
            "metal",
            "{ diskSize: 1306525696, diskFormat: raw }",
            "{}",
            "metal.yaml:24: a disk image needs imageOptions.diskSize",
        ),
        (
            "metal",
            "diskFormat: raw",
            "diskFormat: qcow2",
            "metal.yaml:24: output.imageOptions.diskFormat: input should be 'raw', not 'qcow2'",
        ),
        ("iso", "secureboot: false", "secureboot: true", "iso.yaml:3: secureboot: input should be False, not True"),
        (
            "iso",
            "secureboot: false",
            "secureBoot: false",
            "iso.yaml:3: unknown key 'secureBoot': did you mean secureboot?",
        ),
        (
            "iso",
            "output:\n",
            "overlay: { name: rpi }\noutput:\n",
            ("iso.yaml:22: unknown key 'overlay': choose one of arch, platform, secureboot, version, customization, "
            "input, output"),
        ),
        (
            "iso",
            "platform: metal",
            "  platform: [metal",
            "iso.yaml:2: not YAML: mapping values are not allowed here",
        ),
        ("iso", "platform: metal", "arch: amd64", "iso.yaml:2: key 'arch' is given twice (first on line 1)"),
    ],
)  # fmt: skip
def test_a_profile_that_is_not_understood_is_refused(name: str, old: str, new: str, message: str) -> None:
    assert refusal(changed(name, old, new)) == f"{FOLDER}/{message}"


def test_an_empty_profile_is_refused() -> None:
    files = {**checkout(TAG), f"{FOLDER}/iso.yaml": ""}
    assert refusal(files) == f"{FOLDER}/iso.yaml: the file is empty"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("Dockerfile", "COPY a b\n", "Dockerfile: one FROM is expected, 0 are there"),
        ("Dockerfile", "FROM a AS b\nFROM c\n", "Dockerfile: one FROM is expected, 2 are there"),
        (
            "Dockerfile",
            "FROM scratch\n",
            (
                "Dockerfile: bad image reference 'scratch': write REGISTRY/PATH:TAG@sha256:DIGEST, in lower case, for "
                "example ghcr.io/siderolabs/zfs:2.4.3-v1.13.6"
            ),
        ),
        (
            "groups/default.json",
            '{\n"id": x\n}',
            "groups/default.json:2: not JSON: Expecting value: line 2 column 7 (char 8)",
        ),
        ("profiles/default.json", "[]", "profiles/default.json: a JSON object is expected"),
    ],
)
def test_a_matchbox_file_that_is_not_understood_is_refused(file: str, text: str, message: str) -> None:
    folder = "packages/core/talos/images/matchbox"
    assert refusal({**checkout(TAG), f"{folder}/{file}": text}) == f"{folder}/{message}"
