"""An extension catalog to test with; names and versions as in the real one, digests made up."""

from __future__ import annotations

from ci.load.catalog import Catalog, parse_catalog


def digest(character: str) -> str:
    """A digest that a reader can tell from others."""
    return "sha256:" + character * 64


IMAGE_DIGESTS = f"""\
ghcr.io/siderolabs/drbd:9.3.2-v1.13.6@{digest("d")}
ghcr.io/siderolabs/spin:v0.22.0@{digest("5")}
ghcr.io/siderolabs/tailscale:1.98.1@{digest("7")}
ghcr.io/siderolabs/nvidia-open-gpu-kernel-modules-lts:580.95.05-v1.13.6@{digest("e")}
"""

DESCRIPTIONS = f"""\
ghcr.io/siderolabs/spin:v0.22.0@{digest("5")}:
  author: Sven Pfennig
  description: |
    [extra] This system extension provides support
    for spin runtime (WebAssembly) containers.
ghcr.io/siderolabs/tailscale:1.98.1:
  author: Beau Trepp
  description: |
    [extra] Tailscale
"""

CATALOG: Catalog = parse_catalog(IMAGE_DIGESTS, DESCRIPTIONS)
