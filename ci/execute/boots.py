"""Boots in containers: QEMU with what it boots, once each time that it is asked for."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagger
from dagger import dag

from ci.boot.configuration import check_size, parse_machine_config
from ci.boot.machine import packages
from ci.boot.request import (
    REPORT,
    Options,
    netboot_request,
    request_of_plan,
    request_of_report,
    with_configuration,
)
from ci.boot.ways import Way
from ci.common.errors import BootError
from ci.execute import commands
from ci.execute.sdk import with_image
from ci.execute.tools import OUT, tools
from ci.plan import netboot as matchbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.boot.model import BootRequest
    from ci.common.arch import Arch
    from ci.load.upstream import Upstream
    from ci.plan.model import Plan

_ASSETS = "/assets"


@dataclass(frozen=True)
class Boot:
    """A boot that has ended."""

    request: BootRequest
    #: Whether the machine came up as planned.
    up: bool
    #: The verdict with its evidence.
    text: str
    #: boot-<way>.log, .json, .txt and .svg.
    record: dagger.Directory


def came_up(boot: Boot) -> Boot:
    """Return a boot that went well; raises `BootError` with the verdict of one that did not."""
    if not boot.up:
        raise BootError(boot.text.rstrip())
    return boot


def boot_lines(boot: Boot) -> list[str]:
    """Return a line for a boot, as a requirement of its variant; of one that failed all that is known."""
    line = f"boot.{boot.request.way}: The machine comes up from {boot.request.way}."
    if boot.up:
        return [f"PASS {boot.request.variant} {line}"]
    return [f"FAIL {boot.request.variant} {line}", *(f"     {one}" for one in boot.text.splitlines())]


async def checked(file: dagger.File | None) -> dagger.File | None:
    """Return the file of a machine configuration; raises `BootError` where it is not valid."""
    if file is not None:
        check_size(await file.size())
        parse_machine_config(await file.contents())
    return file


async def boot_plan(
    plan: Plan, files: Mapping[str, dagger.File], way: Way, options: Options, configuration: dagger.File | None = None
) -> Boot:
    """Boot a plan's outputs, given by path; they are those of the way (`OUTPUTS`)."""
    cmdline = ""
    if way is Way.KERNEL:
        path = next(output.path for output in plan.outputs if output.name == "cmdline")
        cmdline = (await files[path].contents()).strip()
    request = request_of_plan(plan, way, options, cmdline)
    return await _boot(request, {path: files[path] for path in request.files.values()}, options, configuration)


async def boot_assets(
    folder: dagger.Directory,
    way: Way,
    variant: str,
    arch: Arch,
    options: Options,
    configuration: dagger.File | None = None,
) -> Boot:
    """Boot assets that were built before: the folder that `build` exported, or one below it."""
    reports = await folder.glob(f"**/{REPORT}")
    found = [path for path in reports if f"/{arch.value}/{REPORT}" in f"/{path}"] or reports
    if len(found) != 1:
        what = "no" if not found else "more than one"
        raise BootError(f"--assets: {what} {REPORT} is in this folder: give what `build` exported")
    root = found[0].removesuffix(REPORT) or "."
    assets = folder.directory(root)
    request = request_of_report(await assets.file(REPORT).contents(), way, variant, arch, options)
    return await _boot(request, {path: assets.file(path) for path in request.files.values()}, options, configuration)


async def boot_network(
    plan: Plan,
    image: dagger.Container,
    upstream: Upstream,
    options: Options,
    configuration: dagger.File | None = None,
) -> Boot:
    """Boot what an image of Matchbox serves, with the image's files and Matchbox for the engine's own platform.

    Server and machine share a container, whose loopback the machine's network ends at: no service of the engine's is
    needed, and nothing of it can be reached from elsewhere.
    """
    server = with_image(dag.container(), str(matchbox.need(upstream).candidates[0]))
    request = netboot_request(plan, await server.entrypoint(), options)
    folder = f"/{matchbox.ROOT}"
    root = server.rootfs().with_directory(folder, image.directory(folder))
    container = (await tools("ci.steps.boot", packages=packages(request))).with_mounted_directory(_ASSETS, root)
    return await _run(request, container, options, configuration)


async def _boot(
    request: BootRequest, files: Mapping[str, dagger.File], options: Options, configuration: dagger.File | None
) -> Boot:
    container = await tools("ci.steps.boot", packages=packages(request))
    for path, file in files.items():
        container = container.with_mounted_file(f"{_ASSETS}/{path}", file)
    return await _run(request, container, options, configuration)


async def _run(
    request: BootRequest, container: dagger.Container, options: Options, configuration: dagger.File | None
) -> Boot:
    if configuration is not None:
        request = with_configuration(request)
        container = container.with_mounted_file(f"{_ASSETS}/{request.machine_config}", configuration)
    run = (
        container.with_new_file("/in/boot.json", request.model_dump_json())
        # A boot is a trial: whoever asks for one gets one, not what came out of another.
        .with_env_variable("COZYSTACK_TALOS_BOOT", uuid.uuid4().hex)
        .with_exec(
            commands.boot("/in/boot.json", _ASSETS, OUT, kvm=options.kvm),
            expect=dagger.ReturnType.ANY,
            insecure_root_capabilities=options.kvm,
        )
    )
    code = await run.exit_code()
    if code not in commands.CHECKED:
        raise BootError(f"{request.title} can't be booted:\n" + (await run.stderr()).strip())
    record = run.directory(OUT)
    text = await record.file(f"boot-{request.way}.txt").contents()
    return Boot(request, code == 0, text, record)
