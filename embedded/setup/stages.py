"""What set-up does, as tasks: which of its steps wait for which.

What waits for the network runs while something else computes: Python's and Debian's packages are fetched, and the lab's
images are made, while BuildKit compiles.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from embedded.setup import debian, golang, protos, python
from embedded.setup.paths import EMBEDDED, dev_marker, paths, step_folder
from embedded.setup.progress import Reporter
from embedded.setup.steps import Job, disk_errors, ensure, locked
from embedded.setup.tasks import Task


def stages(report: Reporter, *, lab: bool, dev: bool, images: bool) -> list[Task]:
    """Return the tasks for what is missing.

    `lab` includes the programs that the stand-in upstream needs, `dev` what the tests need, `images` the images of the
    stand-in upstream that a build asks for.
    """
    tasks: list[Task] = []
    uv, venv = python.uv_step(), python.venv_step()
    if not venv.ready(venv.folder):
        tasks += [Task("uv", lambda: ensure(uv, report)), Task("venv", lambda: ensure(venv, report), ["uv"])]
    if dev and not (venv.ready(venv.folder) and dev_marker().exists()):
        tasks.append(Task("dev", lambda: _dev_tools(report), ["venv"]))
    packages = debian.packages_step(["engine", "lab"] if lab else ["engine"])
    if packages and not packages.ready(packages.folder):
        tasks.append(Task("packages", lambda: ensure(packages, report)))
    tasks += _go_tasks(report, dev=dev)
    if images:
        tasks += [
            Task("images", lambda: _images(report, compiling=False), ["packages"]),
            Task("rest", lambda: _images(report, compiling=True), ["images", "programs"]),
        ]
    return tasks


def _go_tasks(report: Reporter, *, dev: bool) -> list[Task]:
    """Return the tasks that need a Go compiler, and before them the one that looks for it or fetches it."""
    found: list[Path] = []

    def go() -> Path:
        return found[0]

    tasks: list[Task] = []
    if not paths().protos.is_dir():
        tasks.append(Task("protos", lambda: ensure(protos.protos_step(go()), report), ["go", "venv"]))
    if not golang.programs_stand(paths().bin):
        tasks.append(Task("programs", lambda: ensure(golang.programs_step(go()), report), ["go"]))
    if dev and not golang.dev_programs_stand(step_folder("dev-bin")):
        tasks.append(Task("dev-bin", lambda: ensure(golang.dev_programs_step(go()), report), ["programs", "go"]))
    if tasks:
        machine = golang.machine_go(paths().setup / "logs" / "go.log")
        if machine:
            found.append(machine)
        else:
            after = ["uv"]
            if not paths().uv.exists():
                after.append("venv")
            tasks.insert(0, Task("go", lambda: found.append(golang.go_command(report)), after))
    return tasks


def _dev_tools(report: Reporter) -> None:
    log = paths().setup / "logs" / "dev.log"
    with (
        disk_errors(log),
        locked(dev_marker().name, lambda: report.note("development tools: waiting for another set-up")),
        report.step("development tools") as detail,
    ):
        python.install_dev_tools(Job(log, detail))


def _images(report: Reporter, *, compiling: bool) -> None:
    """Have the lab make what a build asks for, in a process of its own; it says itself what it is at."""
    log = paths().setup / "logs" / "lab.log"
    title = "lab: images with programs of our own" if compiling else "lab: Debian's roots, kernels and firmware"
    arguments: Sequence[str] = () if compiling else ("--without-compiling",)
    command = (sys.executable, "-m", "embedded.lab", "build", "--for-builds", *arguments)
    with disk_errors(log), report.step(title) as detail:
        job = Job(log, lambda line: detail(line.removeprefix("daggerw: lab: ")))
        with job.timed(title):
            job.run(*command, cwd=EMBEDDED.parent)
