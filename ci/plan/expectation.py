"""What a plan promises of the files that come out: what `ci.verify` checks them against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ci.common.errors import PlanError
from ci.common.kinds import kind_of_output
from ci.resolve.model import Source

if TYPE_CHECKING:
    from ci.plan.model import Plan, PlannedOutput

Architecture = Literal["arm64", "amd64"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExpectedExtension(_Value):
    """A planned extension."""

    name: str
    #: As the manifest says it; `None` takes any.
    version: str | None = None


class BootCode(_Value):
    """Bytes that firmware reads off a disk without any file system."""

    offset: int
    size: int
    sha256: str


class ExpectedOverlay(_Value):
    """What a board's overlay leaves in assets, as its own installer says and does it (`ci.steps.overlay`)."""

    #: Of the installer in the overlay.
    name: str
    kernel_args: tuple[str, ...] = ()
    #: Digests of the files on the EFI system partition of disk images, by path.
    files: dict[str, str] = {}
    boot_code: tuple[BootCode, ...] = ()
    #: Digests of the overlay's artifacts for the nodes, which installers hold, by path.
    artifacts: dict[str, str] = {}
    #: Digest of the installer's program for the nodes.
    installer: str


class Expectation(_Value):
    """What a plan promises. A field that is `None` or empty is not checked, or taken from the assets themselves."""

    arch: Architecture | None = None
    #: Version of Talos, with the `v`.
    talos: str | None = None
    variant: str | None = None
    #: Exactly these extensions; the index of modules that the imager adds does not count.
    extensions: tuple[ExpectedExtension, ...] | None = None
    #: No extension, file or link below the initramfs may have one of these words in its name: `tailscale`.
    absent: tuple[str, ...] = ()
    #: Kernel modules that must be in the initramfs, or built into the kernel.
    kernel_modules: tuple[str, ...] = ()
    #: Handlers that containerd's configuration must define.
    runtime_handlers: tuple[str, ...] = ()
    #: Arguments that every command line must have.
    kernel_args: tuple[str, ...] = ()
    #: Arguments that no command line may have: names, or a name with its value.
    removed_args: tuple[str, ...] = ()
    #: `None` where the plan has none.
    overlay: ExpectedOverlay | None = None
    #: Exactly these files below the assets' root, with the kind that `ci.inspect` finds: `{"boot/vmlinuz": "kernel"}`.
    files: dict[str, str] | None = None
    #: Platforms of the files that have kernel arguments in them, by path: `{"aws/aws-arm64.raw.xz": "aws"}`.
    platforms: dict[str, str] = {}
    #: Whether the assets come from the lab's stand-ins.
    stand_in: bool | None = None


def parse_expectation(name: str, text: str | bytes) -> Expectation:
    """Return the expectation in a JSON document; `name` is what errors call it."""
    try:
        return Expectation.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "document"
        allowed = ", ".join(Expectation.model_fields)
        raise PlanError(f"{name}: {place}: {first['msg']} (keys are {allowed})") from error


def expectation(plan: Plan) -> Expectation:
    """Return what the assets are checked against."""
    arguments = list(dict.fromkeys(argument for output in plan.outputs for argument in output.extra_kernel_args))
    added = [argument for argument in arguments if not argument.startswith("-")]
    return Expectation(
        arch=plan.arch.value,
        talos=plan.talos_version,
        variant=plan.variant,
        extensions=tuple(
            # The published images are tagged with the version in their manifest; one's own may be tagged otherwise.
            ExpectedExtension(name=entry.name, version=None if entry.source is Source.OWN else entry.version)
            for entry in plan.extensions
        ),
        absent=plan.absent,
        kernel_modules=plan.kernel_modules,
        runtime_handlers=plan.runtime_handlers,
        kernel_args=tuple(added),
        # `-name` takes an argument away instead of adding one; what is added comes later and stays.
        removed_args=tuple(
            argument[1:]
            for argument in arguments
            if argument.startswith("-") and argument[1:] not in added and not _adds(added, argument[1:])
        ),
        files={output.path: _inspected(output) for output in plan.outputs},
        platforms={
            output.path: output.platform for output in plan.outputs if kind_of_output(output.name).takes_kernel_args
        },
        stand_in=plan.stand_in,
    )


def _adds(added: list[str], name: str) -> bool:
    return any(argument.partition("=")[0] == name for argument in added)


def _inspected(output: PlannedOutput) -> str:
    return kind_of_output(output.name).inspected_kind


def expectation_anywhere(plan: Plan) -> Expectation:
    """Return what assets of any layout are checked against: the plan's content, wherever its files are."""
    return expectation(plan).model_copy(update={"files": None, "platforms": {}})
