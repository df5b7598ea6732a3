"""uv, the engine's virtual environment and its development tools. Runs on the machine's Python, without packages."""

from __future__ import annotations

import os
import ssl
import sys
from importlib.util import find_spec
from pathlib import Path

from embedded.setup import debian
from embedded.setup.errors import SetupError
from embedded.setup.paths import EMBEDDED, UV_VERSION, dev_marker, paths, step_folder
from embedded.setup.steps import Job, Step


def uv_environment() -> dict[str, str]:
    """The variables for running uv: its cache below ours, the machine's certificates, pip's index if one is set."""
    env = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    env["UV_CACHE_DIR"] = str(paths().uv_cache)
    env["UV_PYTHON_DOWNLOADS"] = "never"
    env["UV_NO_PROGRESS"] = "1"
    env["UV_LINK_MODE"] = "hardlink"
    trusted = ssl.get_default_verify_paths()
    if trusted.cafile or trusted.capath:
        env.setdefault("UV_SYSTEM_CERTS", "1")
    if index := env.get("PIP_INDEX_URL"):
        env.setdefault("UV_DEFAULT_INDEX", index)
    return env


def uv_step() -> Step:
    """The program uv, from its wheel."""
    return Step("uv", step_folder("uv"), _get_uv, lambda folder: os.access(folder / "uv", os.X_OK))


def _get_uv(folder: Path, job: Job) -> None:
    # Both may be configured for pip, and both contradict --target.
    free = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | free
    wheel = folder / "wheel"
    job.run(
        *_pip(folder, job),
        *("install", "--disable-pip-version-check", "--no-input", "--progress-bar=off", "--no-deps"),
        *("--only-binary=:all:", f"--target={wheel}", f"uv=={UV_VERSION}"),
        env=env,
    )
    (wheel / "bin" / "uv").rename(folder / "uv")


def _pip(folder: Path, job: Job) -> list[str]:
    """The command of a pip: an installed one, the one that ensurepip carries, or the one in Debian's package."""
    python = sys.executable
    if find_spec("pip"):
        return [python, "-m", "pip"]
    places = [Path("/usr/share/python-wheels")]
    if (ensurepip := find_spec("ensurepip")) and ensurepip.origin:
        places.append(Path(ensurepip.origin).parent / "_bundled")
    if not (wheels := _wheels(places)) and debian.available():
        debian.unpack(["python3-pip-whl"], folder / "debian", job)
        wheels = _wheels([folder / "debian/usr/share/python-wheels"])
    if not wheels:
        raise SetupError(
            "Python has no pip, which set-up needs to download its first package",
            hint="install pip for this Python (package python3-pip, or py3-pip), and run it again",
        )
    # A wheel is an archive that Python can run from.
    return [python, str(wheels[-1] / "pip")]


def _wheels(places: list[Path]) -> list[Path]:
    return [wheel for place in places for wheel in sorted(place.glob("pip-*.whl"))]


def venv_step() -> Step:
    """The engine's virtual environment, with what embedded/pyproject.toml names and pins."""
    return Step("Python packages", paths().venv, _make_venv, lambda folder: os.access(folder / "bin/python", os.X_OK))


def _make_venv(folder: Path, job: Job) -> None:
    # Relocatable, because the folder is renamed when it is complete.
    job.run(
        paths().uv, "venv", "--relocatable", "--clear", "--no-project", f"--python={_base_python()}", folder,
        env=uv_environment(),
    )  # fmt: skip
    _install(folder, job)


def _install(venv: Path, job: Job, *groups: str) -> None:
    # uv reads [tool.uv] constraint-dependencies of the project folder that it runs in.
    job.run(
        *(paths().uv, "pip", "install", f"--python={venv / 'bin/python'}", "--compile-bytecode"),
        *("--requirements", "pyproject.toml", *(f"--group={group}" for group in groups)),
        env=uv_environment(),
        cwd=EMBEDDED,
    )


def _base_python() -> str:
    """The interpreter itself, not a link to it in somebody's virtual environment or a version manager's shim."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def install_dev_tools(job: Job) -> None:
    """Add the development tools to the engine's environment."""
    _install(paths().venv, job, "dev")
    dev_marker().touch()
