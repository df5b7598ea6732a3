"""The containers in which files are made ready, read and checked: Python, and this project's own modules."""

from __future__ import annotations

from typing import Final

import dagger
from dagger import dag

from ci import pins
from ci.requirements import PYPROJECT, requirements

#: Where the modules lie in the container.
SOURCE: Final = "/src"
#: Modules that only run in the module's own process: editing one must not rerun what the others did.
_HOST_SIDE: Final = ["api.py", "args.py", "load.py", "main.py", "pipeline.py", "tests.py", "tools.py"]


def python(*, extra: str | None = None) -> dagger.Container:
    """Return Python with this project's dependencies, at their pinned versions."""
    wanted = requirements(PYPROJECT.read_text(), extra=extra)
    return (
        dag.container()
        .from_(pins.PYTHON)
        .with_env_variable("TZ", "UTC")
        .with_env_variable("PYTHONDONTWRITEBYTECODE", "1")
        .with_env_variable("PIP_ROOT_USER_ACTION", "ignore")
        .with_env_variable("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .with_mounted_cache("/root/.cache/pip", dag.cache_volume("cozystack-talos-pip"))
        .with_new_file("/etc/pip/requirements.txt", wanted.requirements)
        .with_new_file("/etc/pip/constraints.txt", wanted.constraints)
        .with_exec(
            ["python", "-m", "pip", "install", "--quiet", "--break-system-packages"]
            + ["--requirement", "/etc/pip/requirements.txt", "--constraint", "/etc/pip/constraints.txt"]
        )
        .without_mount("/root/.cache/pip")
    )


def tools() -> dagger.Container:
    """Return Python with the modules that read, change and check files, in the working folder."""
    source = dag.current_module().source().directory("ci")
    return python().with_directory(f"{SOURCE}/ci", source, exclude=_HOST_SIDE).with_workdir(SOURCE)
