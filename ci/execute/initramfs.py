"""The initramfs with all extensions: put together from several imager runs, or made by a single one.

A run of one extension is shared by all variants that have it, and when an extension changes, only its own run is made
again. The runs are independent: the engine makes them at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.concurrency import gather_two
from ci.execute import commands
from ci.execute.imager import with_fast_zstd
from ci.execute.sdk import known_by_id
from ci.execute.tools import NORMALISE, normalised, tools
from ci.plan import profile
from ci.plan.initramfs_runs import EMPTY_BASE, imager_runs, run_profile
from ci.plan.quirks import MODULES_FOLDER, install_folder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Any

    import dagger

    from ci.plan.initramfs_runs import ImagerRun
    from ci.plan.model import Plan

#: An extension's files, in its image.
_ROOT: Final = "rootfs"
_OUT: Final = "/out/initramfs.xz"


async def in_one_run(plan: Plan, imager: dagger.Container, tars: dagger.Directory) -> dagger.File:
    """Return the initramfs that one imager run makes of all extensions, which are tars in a folder."""
    made = _made(with_fast_zstd(imager), tars, profile.initramfs_profile(plan))
    command = commands.normalise_initramfs(f"/in/{_file(plan)}", _OUT, plan.source_date.epoch)
    return await known_by_id((await normalised({"/in": made}, command)).file(_OUT))


@dataclass(frozen=True)
class Packed:
    """An extension as the imager gets it: a folder with its tar, and whether it carries kernel modules."""

    tar: dagger.Directory
    has_modules: bool


async def packed(root: dagger.Directory, tar: Callable[[], Awaitable[dagger.Directory]]) -> Packed:
    """Return an extension by its file tree, and by what gives its tar."""
    return Packed(*await gather_two(tar, lambda: root.exists(f"{_ROOT}/{MODULES_FOLDER}")))


async def assembled(
    plan: Plan, imager: dagger.Container, extensions: Callable[[], Awaitable[Sequence[Packed]]]
) -> dagger.File:
    """Return the initramfs that is put together from several runs, of the extensions in the plan's order."""
    # The tools are described meanwhile.
    found, (packing, _) = await gather_two(
        extensions, lambda: gather_two(lambda: known_by_id(with_fast_zstd(imager)), lambda: tools(NORMALISE))
    )
    alone = packing.with_new_file(EMPTY_BASE, "")  # an imager that packs without Talos's own initramfs
    runs = imager_runs(len(found), [number for number, one in enumerate(found) if one.has_modules])

    def made(run: ImagerRun) -> dagger.Directory:
        given = [found[number].tar for number in run.numbers]
        folder = given[0]
        for further in given[1:]:
            folder = folder.with_directory(".", further)
        return _made(packing if run.has_modules else alone, folder, run_profile(plan, run))

    mounted = {"/in/base": imager.directory(f"/{install_folder(plan.arch)}")}
    mounted |= {f"/in/runs/{at}": made(run) for at, run in enumerate(runs)}
    given = [(run.numbers, f"/in/runs/{at}/{_file(plan)}") for at, run in enumerate(runs)]
    command = commands.assemble_initramfs("/in/base/initramfs.xz", _OUT, plan.source_date.epoch, given)
    return await known_by_id((await normalised(mounted, command)).file(_OUT))


def _made(imager: dagger.Container, tars: dagger.Directory, document: Mapping[str, Any]) -> dagger.Directory:
    """Return what an imager run writes of extensions."""
    return (
        imager.with_mounted_directory(profile.EXTENSIONS_DIR, tars)
        .with_exec(["-"], use_entrypoint=True, stdin=profile.render(document))
        .directory(profile.OUT_DIR)
    )


def _file(plan: Plan) -> str:
    return f"initramfs-metal-{plan.arch.value}.xz"
