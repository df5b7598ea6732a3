"""Checks of the platform that assets are for: what is inside says it, and the kernel's arguments have to go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ci.common.arch import ARCHES, Arch
from ci.common.errors import nearest
from ci.common.platforms import PLATFORMS
from ci.verify.compatibility import quirks_of
from ci.verify.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets

_ARGUMENT: Final = "talos.platform"
#: Names that Talos knows, and no asset here is built for: the second is an old one of equinixMetal.
_OTHERS: Final = ("container", "packet")


def cmdline_platform(assets: Assets, expectation: Expectation) -> Verdict:
    """`cmdline.platform`."""
    verdict = Verdict()
    arch = expectation.arch or assets.arch
    for path, line in assets.cmdlines():
        words = line.split()
        names = list(dict.fromkeys(word.partition("=")[2] for word in words if word.partition("=")[0] == _ARGUMENT))
        planned = expectation.platforms.get(path.partition(":")[0])
        verdict.problems += [f"{path} {problem}" for problem in _problems(names, planned)]
        if len(names) == 1 and names[0] in PLATFORMS and arch in ARCHES:
            lacks = _missing(names[0], Arch(arch), words, expectation, planned=planned is not None)
            verdict.problems += [f"{path} lacks {word}, which goes with the platform {names[0]}" for word in lacks]
        verdict.evidence.append(f"{path}: {', '.join(names) or 'no platform'}")
    return verdict


def _problems(names: Sequence[str], planned: str | None) -> Iterator[str]:
    if len(names) > 1:
        yield f"is for several platforms: {', '.join(names)}"
    for name in names:
        if name not in (*PLATFORMS, *_OTHERS):
            near = nearest(name, PLATFORMS)
            yield f"is for the platform {name!r}, which Talos does not know" + (f": {near} is meant?" if near else "")
        elif planned is not None and name != planned:
            yield f"is for the platform {name}, {planned} is planned"


def _missing(name: str, arch: Arch, words: Sequence[str], expectation: Expectation, *, planned: bool) -> Iterator[str]:
    """Yield the platform's own arguments that a line does not have, but for those that someone replaced.

    The imager takes a console of the plan or of a board in place of the platform's. What assets without a plan have
    instead is taken for the choice of who built them.
    """
    board = expectation.overlay.kernel_args if expectation.overlay else ()
    replacing = (*expectation.kernel_args, *board, *(() if planned else words))
    replaced = {word.partition("=")[0] for word in replacing}
    # Where the version is not known, nothing is asked that only newer ones have.
    given = (quirks_of(expectation.talos).talos,) if expectation.talos else ()
    for wanted in PLATFORMS[name].kernel_arguments(arch, *given):
        key = wanted.partition("=")[0]
        removed = {wanted, key} & set(expectation.removed_args)
        if wanted not in words and key not in replaced and not removed:
            yield wanted
