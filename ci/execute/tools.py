"""The containers in which files are made ready, read and checked: Python, and this project's own modules.

Each is described once in a call: the engine learns once what it is made of, and has an id for it from then on.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import dagger
from dagger import dag

from ci.common import pins
from ci.common.concurrency import Memo, gather_two
from ci.execute import commands
from ci.execute.pip import PYPROJECT, requirements
from ci.execute.sdk import known_by_id

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Where commands write.
OUT: Final = "/out"
#: Where the modules are in the container.
SOURCE: Final = "/src"
#: The module of what makes files ready.
NORMALISE: Final = "ci.steps.normalise"


@cache
def base() -> dagger.Container:
    """Return Debian with Python, and an empty folder to write to: all that a command needs that is not ours."""
    return dag.container().from_(pins.PYTHON).with_env_variable("TZ", "UTC").with_directory(OUT, dag.directory())


@cache
def python(*, extra: str | None = None) -> dagger.Container:
    """Return Python with this project's dependencies, at their pinned versions."""
    wanted = requirements(PYPROJECT.read_text(), extra=extra)
    return (
        base()
        .with_env_variable("PYTHONDONTWRITEBYTECODE", "1")
        .with_env_variable("PIP_ROOT_USER_ACTION", "ignore")
        .with_env_variable("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .with_mounted_cache("/root/.cache/pip", dag.cache_volume("cozystack-talos-pip"))
        .with_new_file("/etc/pip/requirements.txt", wanted.requirements)
        .with_new_file("/etc/pip/constraints.txt", wanted.constraints)
        .with_exec(
            commands.pip_install("/etc/pip/requirements.txt", "/etc/pip/constraints.txt", compiled=extra is None)
        )
        .without_mount("/root/.cache/pip")
    )


#: By the module that they are for, and its Debian packages; those of none have Python and its packages only.
_known: Memo[tuple[str, ...], dagger.Container] = Memo()
_sources: Memo[None, dagger.Directory] = Memo()


async def tools(module: str, *, packages: tuple[str, ...] = ()) -> dagger.Container:
    """Return Python with one of this project's modules that have a command line, and what it needs of the others.

    Debian packages are taken from the mirrors that the image knows.
    """

    async def described() -> dagger.Container:
        own, source = await gather_two(
            lambda: _known.get((), lambda: known_by_id(python())),
            lambda: _sources.get(None, lambda: known_by_id(_source())),
        )
        return await known_by_id(_tools(own, source, module, packages))

    return await _known.get((module, *packages), described)


def _source() -> dagger.Directory:
    return dag.current_module().source().directory("ci")


def with_module(container: dagger.Container, module: str, source: dagger.Directory | None = None) -> dagger.Container:
    """Return a container with one of this project's modules in it, and what that needs of the others.

    `source` is the folder of this project's modules, where the engine has an id for it.
    """
    needed = list(commands.NEEDED[module])
    return container.with_directory(f"{SOURCE}/ci", source or _source(), include=needed).with_workdir(SOURCE)


def _tools(own: dagger.Container, source: dagger.Directory, module: str, packages: tuple[str, ...]) -> dagger.Container:
    container = own.with_exec(commands.apt_install(packages)) if packages else own
    compiled = with_module(container, module, source).with_exec(commands.compile_modules(SOURCE))
    return compiled.with_exec(commands.first_run(module))


async def normalised(given: Mapping[str, dagger.Directory], command: list[str]) -> dagger.Container:
    """Run a command of `ci.steps.normalise` on folders, by where it finds them; it writes below `/out`.

    Folders, and not their files: these BuildKit would digest before it runs the command, to see whether it has run on
    others like them. Of disk images that is gigabytes.
    """
    container = await tools(NORMALISE)
    for path, folder in given.items():
        container = container.with_mounted_directory(path, folder)
    return container.with_exec(command)


def cosign() -> dagger.Container:
    """Return cosign as its image has it: the entrypoint, and no shell; command lines are in `ci.publish.cosign`.

    Root, since secrets are files and variables of root's.
    """
    return dag.container().from_(pins.COSIGN).with_user("0:0")


async def crane() -> dagger.File:
    """Return the program crane, which is linked statically; where its image has it has changed before."""
    image = dag.container().from_(pins.CRANE)
    (program, *_) = await image.entrypoint()
    return image.file(program)
