"""What a call against the stand-in upstream is given beside its own arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedded.cli.protocol import Mode

LAB_NOTICE = "lab: working against the stand-in upstream; what comes out is for trying, not for use"


def fallback_arguments(mode: Mode) -> dict[str, str]:
    """Give texts for Directory arguments of the module's constructor that the caller left out, by flag name."""
    return lab_arguments() if mode == "lab" else {}


def lab_arguments() -> dict[str, str]:
    """Name the lab's own checkout of the upstream as an ordinary argument; the engine makes it when it is read."""
    from embedded.engine.lab import CHECKOUTS, DEFAULT_CHECKOUT
    from embedded.setup.paths import paths

    return {"upstream": str(paths().cache / CHECKOUTS / DEFAULT_CHECKOUT)}
