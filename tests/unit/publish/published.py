"""An image that was published, for tests."""

from __future__ import annotations

from typing import Any

from ci.publish.publication import PublishedImage, PublishedPlatform, PublishedTag, Referrer
from tests.unit.catalogs import digest


def published(name: str = "installer", **changes: Any) -> PublishedImage:
    platform = PublishedPlatform(
        platform="linux/arm64",
        digest=digest("b"),
        plan="c" * 64,
        referrers=(Referrer(artifact_type="application/spdx+json", digest=digest("d")),),
    )
    image = PublishedImage(
        image=name,
        repository="ghcr.io/me/talos",
        digest=digest("a"),
        tags=(
            PublishedTag(tag="spin-only-v1.13.6-v1.6.2", before=None),
            PublishedTag(tag="spin-only-stable", before=digest("0")),
        ),
        platforms=(platform,),
        referrers=(),
        sent_blobs=2,
        sent_bytes=3_000_000,
        sent_manifests=4,
    )
    return image.model_copy(update=changes)
