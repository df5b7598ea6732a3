"""What a call against the stand-in upstream is given beside its own arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedded.cli.errors import UsageError

if TYPE_CHECKING:
    from embedded.cli.chain import Chain
    from embedded.cli.protocol import Mode

LAB_NOTICE = "lab: the upstream is a stand-in; what comes out is for trying, not for use"


def fallback_arguments(mode: Mode) -> dict[str, str]:
    """Give texts for Directory arguments of the module's constructor that the caller left out, by flag name."""
    return lab_arguments() if mode == "lab" else {}


def refuse_what_the_lab_replaces(chain: Chain, mode: Mode) -> None:
    """Refuse arguments that ask for the real upstream where the stand-in's checkout is used; raises UsageError."""
    if mode != "lab":
        return
    for link in chain.links:
        if "release" in link.flags and link.flags["release"].changed:
            raise UsageError(
                "--lab brings its own checkout of the upstream, and --release asks for another: leave out one of them",
                link.command,
            )
        looks = link.function.command in ("update", "outdated") and "repository" in link.flags
        if looks and not link.flags["repository"].changed:
            raise UsageError(
                f"--lab brings its own checkout of the upstream, without newer releases for {link.function.command}:"
                " leave out --lab, or name a git repository with --repository",
                link.command,
            )


def lab_arguments() -> dict[str, str]:
    """Name the lab's own checkout of the upstream as an ordinary argument; the engine makes it when it is read."""
    from embedded.engine.lab import CHECKOUTS, DEFAULT_CHECKOUT
    from embedded.setup.paths import paths

    return {"upstream": str(paths().cache / CHECKOUTS / DEFAULT_CHECKOUT)}
