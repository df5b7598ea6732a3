"""The extension catalog's two files."""

from __future__ import annotations

import pytest

from ci.common.errors import FileError
from ci.common.references import Reference
from ci.load.catalog import CatalogEntry, parse_catalog
from tests.unit.catalogs import CATALOG, DESCRIPTIONS, IMAGE_DIGESTS, digest


def test_an_entry_has_reference_author_and_description() -> None:
    assert CATALOG.entries["spin"] == CatalogEntry(
        Reference("ghcr.io/siderolabs/spin", "v0.22.0", digest("5")),
        author="Sven Pfennig",
        description="[extra] This system extension provides support for spin runtime (WebAssembly) containers.",
    )


def test_descriptions_may_be_listed_without_digest_or_not_at_all() -> None:
    assert CATALOG.entries["tailscale"].author == "Beau Trepp"
    assert CATALOG.entries["drbd"].description == ""
    assert parse_catalog(IMAGE_DIGESTS).entries["spin"].description == ""


def test_the_names_are_sorted() -> None:
    assert CATALOG.names == ("drbd", "nvidia-open-gpu-kernel-modules-lts", "spin", "tailscale")


@pytest.mark.parametrize(
    ("image_digests", "descriptions", "message"),
    [
        ("", None, "image-digests: no extension is listed"),
        ("\n", None, "image-digests: no extension is listed"),
        ("ghcr.io/siderolabs/spin:v1\n", None, "image-digests:1: ghcr.io/siderolabs/spin:v1 has no digest"),
        (
            f"{IMAGE_DIGESTS}<html>\n",
            None,
            (
                "image-digests:5: bad image reference '<html>': write REGISTRY/PATH:TAG@sha256:DIGEST, in lower case, "
                "for example ghcr.io/siderolabs/zfs:2.4.3-v1.13.6"
            ),
        ),
        (
            f"{IMAGE_DIGESTS}ghcr.io/me/spin:v1@{digest('1')}\n",
            None,
            "image-digests:5: 'spin' is listed twice (first on line 2)",
        ),
        (IMAGE_DIGESTS, "- a\n", "descriptions.yaml:1: a mapping is expected"),
        (IMAGE_DIGESTS, "a: b\n", "descriptions.yaml:1: a: author and description are expected"),
        (
            IMAGE_DIGESTS,
            f"{DESCRIPTIONS}x: [\n",
            (
                "descriptions.yaml:11: not YAML: while parsing a flow node expected the node content, "
                "but found '<stream end>'"
            ),
        ),
    ],
)
def test_a_catalog_that_is_not_understood_is_refused(
    image_digests: str, descriptions: str | None, message: str
) -> None:
    with pytest.raises(FileError) as raised:
        parse_catalog(image_digests, descriptions)
    assert str(raised.value) == message
