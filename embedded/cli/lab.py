"""What a call against the stand-in upstream is given beside its own arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from embedded.cli.errors import UsageError
from embedded.cli.fallback import Fallback, reads_packages

if TYPE_CHECKING:
    from embedded.cli.chain import Chain
    from embedded.cli.protocol import Mode

LAB_NOTICE = "lab: the upstream is a stand-in; what comes out is for trying, not for use"

#: Its argument that asks for a release, and the one that takes a checkout in its place.
_BEFORE: Final = ("before", "before-upstream")


def fallback_arguments(mode: Mode, registry: str | None) -> Fallback:
    """Return what a call is given: with --lab its checkouts, and its registry as the mirror of all others."""
    if mode != "lab":
        return Fallback()
    return Fallback(lab_arguments(), package_arguments(registry) if registry else {})


def refuse_what_the_lab_replaces(chain: Chain, mode: Mode) -> None:
    """Refuse arguments that ask for the real upstream where the stand-in's checkout is used; raises UsageError."""
    if mode != "lab":
        return
    for link in chain.links:
        asking = ["release", *(_BEFORE[:1] if reads_packages(link.function) else ())]
        for name in asking:
            if name in link.flags and link.flags[name].changed:
                instead = f", or name a checkout with --{_BEFORE[1]}" if _BEFORE[1] in link.flags else ""
                raise UsageError(
                    f"--lab brings its own checkout of the upstream, and --{name} asks for another: leave out one of"
                    f" them{instead if name == _BEFORE[0] else ''}",
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


def package_arguments(registry: str) -> dict[str, str]:
    """Name the lab's checkouts of packages, and its registry as the mirror of those that it stands in for."""
    from embedded.engine.lab import CHECKOUTS, PACKAGES, PACKAGES_BEFORE
    from embedded.engine.life.config import MIRRORED
    from embedded.setup.paths import paths

    folder = paths().cache / CHECKOUTS
    mirrors = ",".join(f"{host}={registry}/{host}" for host in MIRRORED)
    return {"upstream": str(folder / PACKAGES), _BEFORE[1]: str(folder / PACKAGES_BEFORE), "mirrors": mirrors}
