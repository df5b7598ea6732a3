"""Image references, and the words for architectures."""

from __future__ import annotations

import pytest

from ci.common.arch import Arch, parse_arch
from ci.common.errors import ReferenceSyntaxError, UserError
from ci.common.references import Reference, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("ghcr.io/siderolabs/zfs:2.4.3-v1.13.6", Reference("ghcr.io/siderolabs/zfs", "2.4.3-v1.13.6")),
        (f"ghcr.io/siderolabs/zfs@{DIGEST}", Reference("ghcr.io/siderolabs/zfs", None, DIGEST)),
        (f"127.0.0.1:5000/a/b_c/d--e:V1@{DIGEST}", Reference("127.0.0.1:5000/a/b_c/d--e", "V1", DIGEST)),
        ("localhost/x:1", Reference("localhost/x", "1")),
        ("registry:5000/x:1", Reference("registry:5000/x", "1")),
    ],
)
def test_a_reference_is_read_and_written_alike(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference
    assert str(reference) == text


def test_the_parts_of_a_reference() -> None:
    reference = parse_reference(f"ghcr.io/siderolabs/zfs:2.4.3-v1.13.6@{DIGEST}")
    assert reference.name == "zfs"
    assert reference.namespace == "ghcr.io/siderolabs"
    assert reference.tagged == "ghcr.io/siderolabs/zfs:2.4.3-v1.13.6"


HOW = ": write REGISTRY/PATH:TAG@sha256:DIGEST, in lower case, for example ghcr.io/siderolabs/zfs:2.4.3-v1.13.6"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"bad image reference ''{HOW}"),
        ("zfs:1", f"bad image reference 'zfs:1'{HOW}"),
        ("siderolabs/zfs:1", f"bad image reference 'siderolabs/zfs:1'{HOW}"),
        ("ghcr.io/Siderolabs/zfs:1", f"bad image reference 'ghcr.io/Siderolabs/zfs:1'{HOW}"),
        ("ghcr.io/siderolabs/zfs:", f"bad image reference 'ghcr.io/siderolabs/zfs:'{HOW}"),
        ("ghcr.io/siderolabs/zfs:1 ", f"bad image reference 'ghcr.io/siderolabs/zfs:1 '{HOW}"),
        ("ghcr.io//zfs:1", f"bad image reference 'ghcr.io//zfs:1'{HOW}"),
        ("https://ghcr.io/a/zfs:1", f"bad image reference 'https://ghcr.io/a/zfs:1'{HOW}"),
        ("ghcr.io/siderolabs/zfs", "bad image reference 'ghcr.io/siderolabs/zfs': it has neither tag nor digest"),
        (
            "ghcr.io/siderolabs/zfs:1@sha256:abc",
            "ghcr.io/siderolabs/zfs:1: bad digest 'sha256:abc': it is `sha256:` and 64 hexadecimal digits",
        ),
        (
            f"ghcr.io/siderolabs/zfs:1@{DIGEST.upper().replace('SHA', 'sha')}",
            (
                f"ghcr.io/siderolabs/zfs:1: bad digest '{DIGEST.upper().replace('SHA', 'sha')}': "
                "it is `sha256:` and 64 hexadecimal digits"
            ),
        ),
    ],
)
def test_what_is_no_reference_is_refused(text: str, message: str) -> None:
    with pytest.raises(ReferenceSyntaxError) as raised:
        parse_reference(text)
    assert str(raised.value) == message


def test_a_bad_digest_from_a_registry_is_refused() -> None:
    with pytest.raises(ReferenceSyntaxError, match=r"^ghcr\.io/a/b:1: bad digest 'md5:1'"):
        Reference("ghcr.io/a/b", "1").with_digest("md5:1")


@pytest.mark.parametrize("arch", Arch)
def test_an_architecture_is_read(arch: Arch) -> None:
    assert parse_arch(arch.value) is arch
    assert arch.platform == f"linux/{arch.value}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x86_64", "unknown architecture 'x86_64': write amd64"),
        ("aarch64", "unknown architecture 'aarch64': write arm64"),
        ("linux/arm64", "unknown architecture 'linux/arm64': write arm64"),
        ("ARM64", "unknown architecture 'ARM64': write arm64"),
        ("riscv64", "unknown architecture 'riscv64': choose one of arm64, amd64"),
        ("", "unknown architecture '': choose one of arm64, amd64"),
    ],
)
def test_another_architecture_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_arch(text)
    assert str(raised.value) == message
