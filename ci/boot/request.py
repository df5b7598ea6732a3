"""What there is to boot: of a plan that is built for it, or of assets with the report that came with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci.boot.configuration import ARGUMENT, MEMORY, OPTION, PATH
from ci.boot.model import BootRequest
from ci.boot.ways import Way
from ci.common.errors import BootError, PlanError
from ci.common.kinds import booted_by, kind_of_output
from ci.plan.expectation import expectation
from ci.plan.model import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci.common.arch import Arch

#: Platforms whose machines go into maintenance where nobody gives them a configuration.
WITHOUT_CLOUD = ("metal", "nocloud")
#: Where assets have their report, below their folder.
REPORT = "validation/build-report.json"


@dataclass(frozen=True)
class Options:
    """Options of a boot."""

    #: Seconds without progress.
    deadline: int
    #: Further kernel arguments.
    arguments: tuple[str, ...] = ()
    #: Use the host's KVM, which needs a privileged step.
    kvm: bool = False
    #: Name of an output that is booted instead of the way's own.
    output: str = ""


def parse_options(deadline: int, kernel_args: str | None, *, kvm: bool, output: str = "") -> Options:
    """Read the options of a boot; raises `BootError` for a deadline that is out of range."""
    if not 1 <= deadline <= 3600:
        raise BootError(f"bad deadline {deadline}: it is in seconds, from 1 to 3600")
    return Options(deadline, tuple((kernel_args or "").split()), kvm, output)


def with_configuration(request: BootRequest) -> BootRequest:
    """Return the request for a machine that gets a machine configuration; raises `BootError` for two of them."""
    if other := next((word for word in request.arguments if word.partition("=")[0] == ARGUMENT), None):
        raise BootError(f"--kernel-args has {other}, and {OPTION} gives a configuration too: leave one of them out")
    return request.model_copy(update={"machine_config": PATH, "memory": max(request.memory, MEMORY)})


def request_of_plan(plan: Plan, way: Way, options: Options, cmdline: str = "") -> BootRequest:
    """Return the request to boot a plan's outputs; raises `BootError` where they have nothing for this way."""
    return BootRequest(
        way=way,
        arch=plan.arch,
        variant=plan.variant,
        expected=expectation(plan),
        files=_files(plan, way, options.output),
        output=options.output,
        cloud=bool(options.output) and kind_of_output(options.output).platform not in WITHOUT_CLOUD,
        cmdline=cmdline,
        arguments=options.arguments,
        deadline=options.deadline,
    )


def netboot_request(plan: Plan, matchbox: Sequence[str], options: Options) -> BootRequest:
    """Return the request to boot over the network what an image of Matchbox serves; `matchbox` is its entrypoint."""
    return BootRequest(
        way=Way.NETBOOT,
        arch=plan.arch,
        variant=plan.variant,
        expected=expectation(plan),
        matchbox=tuple(matchbox) or ("/matchbox",),
        arguments=options.arguments,
        deadline=options.deadline,
    )


def _files(plan: Plan, way: Way, name: str) -> dict[str, str]:
    if not name:
        return {kind: _path(plan, kind, way) for kind in _kinds(way)}
    for output in plan.outputs:
        if output.name == name:
            return {way.value: output.path}
    raise BootError(f"there is no {name} among the assets: build them with --outputs {name}")


def _kinds(way: Way) -> tuple[str, ...]:
    """Return the kinds of the files that are booted; a command line is text."""
    return tuple(kind.name for kind in booted_by(way.value) if kind.inspected_kind != "cmdline")


def _path(plan: Plan, kind: str, way: Way) -> str:
    # Of a disk image in several forms the one that need not be unpacked.
    paths = sorted((output.path for output in plan.outputs if output.kind_name == kind), key=len)
    if not paths:
        outputs = ",".join(_kinds(way))
        raise BootError(f"there is no {kind} among the assets, to boot from {way}: build them with --outputs {outputs}")
    return paths[0]


def request_of_report(report: str, way: Way, variant: str, arch: Arch, options: Options) -> BootRequest:
    """Return the request to boot assets, by the report that came with them.

    Raises `BootError` where the assets are of another variant or architecture, or have nothing for this way.
    """
    try:
        document: dict[str, Any] = json.loads(report)
        plan = Plan.parse(json.dumps(document["plan"]))
        lines: dict[str, str] = dict(document["cmdlines"])
    except (ValueError, KeyError, TypeError, PlanError) as error:
        raise BootError(f"{REPORT}: not a build report of this project: {error}") from None
    if plan.variant != variant:
        raise BootError(f"the assets are of the variant {plan.variant}, not of {variant}")
    if plan.arch is not arch:
        raise BootError(f"the assets are for {plan.arch}: boot them with --arch {plan.arch}")
    cmdline = _cmdline(plan, lines) if way is Way.KERNEL else ""
    return request_of_plan(plan, way, options, cmdline)


def _cmdline(plan: Plan, lines: Mapping[str, str]) -> str:
    """Return the kernel arguments of assets: the text made for it, else those of what boots by itself."""
    paths = {output.kind_name: output.path for output in plan.outputs}
    for kind in ("cmdline", "uki", "installer", "metal"):
        for path, line in lines.items():
            if kind in paths and path.partition(":")[0] == paths[kind]:
                return line
    raise BootError("the assets do not tell the kernel's arguments: build them with --outputs kernel,initramfs,cmdline")
