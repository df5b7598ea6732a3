"""Programs from Debian packages, unpacked below the cache: nothing is installed, no state of the machine is changed.

apt works with lists and archives of its own folder; it reads the machine's sources and, to see which libraries are
there already, the machine's list of installed packages.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from embedded.setup.errors import SetupError
from embedded.setup.paths import machine_program, paths, unpacked_program
from embedded.setup.process import hint_for
from embedded.setup.programs import PROGRAMS, Group, Program
from embedded.setup.steps import Job, Step

# Hooks of the machine's own configuration (container images have some) would delete the machine's package cache.
_APT_CONFIG = """\
Dir::State "{folder}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{folder}/cache";
Dir::Log "{folder}/log";
Debug::NoLocking "true";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
APT::Get::Assume-Yes "true";
APT::Keep-Downloaded-Packages "true";
Acquire::Retries "3";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
"""


def available() -> bool:
    """Is this Debian or a relative of it?"""
    return bool(shutil.which("apt-get") and shutil.which("dpkg-deb")) and Path("/var/lib/dpkg/status").exists()


def unpack(packages: Sequence[str], root: Path, job: Job) -> None:
    """Download packages, and those they need that the machine lacks, and unpack all below `root`."""
    folder = root / ".apt"
    for name in ("state/lists/partial", "cache/archives/partial", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    config = folder / "apt.conf"
    config.write_text(_APT_CONFIG.format(folder=folder))
    env = os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    # One of the machine's sources may be out of reach; what counts is whether the packages can be had.
    update = job.run("apt-get", "-q", "-c", config, "update", env=env, check=False)
    try:
        job.run("apt-get", "-q", "-c", config, "install", "--reinstall", "--download-only", *packages, env=env)
    except SetupError as error:
        error.hint = error.hint or hint_for(update) or f"or install them yourself: apt-get install {' '.join(packages)}"
        raise
    for archive in sorted((folder / "cache/archives").glob("*.deb")):
        job.run("dpkg-deb", "-x", archive, root, env=env)
    shutil.rmtree(folder)


def missing(groups: Sequence[Group]) -> list[str]:
    """The programs of these groups that the machine lacks."""
    return [name for name, row in PROGRAMS.items() if row.group in groups and not machine_program(name)]


def packages_step(groups: Sequence[Group]) -> Step | None:
    """The unpacked programs; None when the machine has all that is needed.

    Raises SetupError on a machine that is not a Debian, naming what to install.
    """
    wanted = missing(groups)
    if not wanted:
        return None
    if not available():
        names = sorted({PROGRAMS[name].package for name in wanted})
        raise SetupError(
            f"this machine lacks {', '.join(wanted)}, and it has no apt to get them with",
            hint=f"install them with its package manager (Debian calls the packages {', '.join(names)})",
        )

    def build(root: Path, job: Job) -> None:
        # What an earlier call unpacked for other programs is kept: the folder is replaced as a whole.
        names = sorted({*wanted, *(name for name in PROGRAMS if provided(paths().packages, name))})
        unpack(sorted({PROGRAMS[name].package for name in names}), root, job)
        for name in names:
            _offer(root, name, job)

    return Step(
        f"Debian packages for {', '.join(wanted)}",
        paths().packages,
        build,
        lambda root: all(provided(root, name) for name in wanted),
    )


def provided(root: Path, name: str) -> bool:
    """Is the program there, unpacked below this root?"""
    return os.access(unpacked_program(root, name), os.X_OK)


def _offer(root: Path, name: str, job: Job) -> None:
    """Put the program into `bin`: a link, or a script that sets where its libraries are."""
    row = PROGRAMS[name]
    if not (root / row.path.lstrip("/")).exists():
        raise SetupError(f"the Debian package {row.package} does not hold {row.path}", log=job.log)
    if row.beside:
        return
    target = root / "bin" / name
    target.parent.mkdir(exist_ok=True)
    if row.bare:
        target.symlink_to(f"..{row.path}")
        return
    use_fallback = row.fallback and not _works(root, row, row.path, job) and _works(root, row, row.fallback, job)
    _write_script(target, _script(root, row, row.fallback if use_fallback else row.path))


def _works(root: Path, row: Program, path: str, job: Job) -> bool:
    script = root / "bin" / ".probe"
    _write_script(script, _script(root, row, path))
    try:
        job.run(script, *row.probe)
    except SetupError:
        return False
    finally:
        script.unlink()
    return True


def _write_script(target: Path, text: str) -> None:
    target.write_text(text)
    target.chmod(0o755)


def _script(root: Path, row: Program, path: str) -> str:
    """Return a shell script in `bin` that runs a program unpacked below `root`.

    It finds that folder by its own place, so that the cache may be moved: a CI service restores one under another HOME.
    """

    def found(*patterns: str) -> list[str]:
        folders = [folder for pattern in patterns for folder in sorted(root.glob(pattern))]
        return [f"$root/{folder.relative_to(root)}" for folder in folders]

    libraries = found("usr/lib/*-linux-gnu*", "lib/*-linux-gnu*")
    perl = found("usr/share/perl5", "usr/lib/*/perl5/*", "usr/share/perl/*.*.*", "usr/lib/*/perl/*.*.*")
    words = {"root": "$root", "libraries": libraries[0] if libraries else "", "perl": ":".join(perl)}
    values = {"LD_LIBRARY_PATH": ":".join(libraries)} | {name: value.format(**words) for name, value in row.environment}
    exports = "".join(f'export {name}="{value}"\n' for name, value in values.items() if value)
    arguments = "".join(f" {shlex.quote(word)}" for word in row.arguments)
    place = 'self=$(readlink -f -- "$0")\nroot=${self%/bin/*}\n'
    return f'#!/bin/sh\n{place}{exports}exec "$root{path}"{arguments} "$@"\n'
