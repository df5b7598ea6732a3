"""The plan as a value: everything that a build does, and why. Read by whatever comes after it, in containers too."""

from __future__ import annotations

import hashlib
import json
import operator
from typing import Any, Self, cast

import yaml
from pydantic import Field

from ci.common.arch import Arch
from ci.common.documents import json_text, yaml_text
from ci.common.errors import FileError, PlanError
from ci.common.kinds import Initramfs, kind_of_output
from ci.common.references import PinnedImage
from ci.common.values import Value
from ci.common.yamltext import check_events
from ci.load.meta import Meta
from ci.plan.outputs import Compression, DiskFormat, Layout
from ci.resolve.model import Dropped, PlannedExtension

#: Bumped when a field changes its meaning.
FORMAT = 1


def _is_empty(value: tuple[str, ...]) -> bool:
    """Say whether a field is left out of documents: those from before it was there have the same id."""
    return not value


def _is_raw(form: DiskFormat) -> bool:
    return form is DiskFormat.RAW


class Origin(Value):
    """Where the CozyStack checkout is from."""

    #: A path, or a git URL.
    where: str
    #: CozyStack's tag.
    release: str | None = None
    commit: str | None = None


class SourceDate(Value):
    """The time that all timestamps in the outputs are set to."""

    #: Seconds since 1970.
    epoch: int
    #: Where it comes from, in words.
    source: str


class PlannedOverlay(PinnedImage):
    """A board's overlay: one image by digest, of which two platforms are needed."""

    #: Of the installer in the image.
    name: str
    #: Where the imager runs it.
    host_platform: str
    #: What goes into the installer.
    platform: str
    options: dict[str, Any]


class SecureBoot(Value):
    """Signatures for secure boot; the keys themselves are secrets, and in no plan."""

    #: SHA-256 of the certificate that the boot images are signed for, in hexadecimal.
    certificate: str
    #: Whether keys of one's own are enrolled, instead of those that the imager makes of the certificate.
    own_enrolment: bool = False


class PlannedOutput(Value):
    """One imager run, and where its result goes."""

    name: str
    imager_kind: str
    platform: str
    #: Name below the imager's `/out`.
    imager_file: str
    #: Path below the folder of the layout.
    path: str
    media_type: str
    initramfs: Initramfs
    compression: Compression
    #: What a disk is stored as.
    disk_format: DiskFormat = Field(default=DiskFormat.RAW, exclude_if=_is_raw)
    #: Whether the installer base goes in.
    base_installer: bool
    #: Bytes, disk images only; the imager adds 1000 MiB.
    disk_size: int | None = None
    #: Bytes in a sector of the disk, where they are not 512.
    disk_sector_size: int | None = Field(default=None, exclude_if=operator.not_)
    extra_kernel_args: tuple[str, ...] = ()
    meta: tuple[Meta, ...] = ()
    #: Whether the board's overlay goes in.
    overlay: bool = False
    #: URLs of kernel and initramfs, in a script that boots them over the network.
    boots: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    #: Whether it is signed for secure boot.
    signed: bool = False
    #: Why the exec has to be privileged; `None` where it does not.
    privileged: str | None = None
    #: What a reader should know of this output.
    notes: tuple[str, ...] = ()

    @property
    def kind_name(self) -> str:
        """Name of its kind: `metal` for metal.raw.xz, `aws.iso` for aws.iso."""
        return kind_of_output(self.name).name


class Plan(Value):
    """Everything that a build does. Compares whole; goes to JSON or YAML and back."""

    format: int = FORMAT
    variant: str
    description: str
    role: str
    arch: Arch
    talos_version: str
    origin: Origin
    #: Folder of upstream's sources in the checkout.
    upstream_layout: str
    source_date: SourceDate
    imager: PinnedImage
    installer_base: PinnedImage
    #: `None` where nothing is taken from it.
    catalog: PinnedImage | None
    #: In the order in which the imager gets them.
    extensions: tuple[PlannedExtension, ...]
    dropped: tuple[Dropped, ...]
    #: Words that no name in the initramfs may have in it.
    absent: tuple[str, ...]
    #: Kernel modules that the machine configuration loads: they have to be in the image, or in the kernel.
    kernel_modules: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    #: Handlers that the variant's runtime classes name: containerd has to know them.
    runtime_handlers: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    overlay: PlannedOverlay | None = None
    secure_boot: SecureBoot | None = None
    layout: Layout
    outputs: tuple[PlannedOutput, ...]
    #: Whether upstream's images are stand-ins from the lab.
    stand_in: bool = False
    #: What a reader should know of all of it: that this Talos is newer than any that was tried, and what is relied on.
    caveats: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)

    @property
    def id(self) -> str:
        """SHA-256 of the plan's canonical JSON, in hexadecimal: equal plans have equal ids."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def builds_initramfs(self) -> bool:
        """Whether any output is, or embeds, the initramfs."""
        return any(output.initramfs is not Initramfs.NONE for output in self.outputs)

    @property
    def images(self) -> tuple[tuple[str, PinnedImage | PlannedExtension], ...]:
        """Every image that it is built from, with what it is for."""
        found: list[tuple[str, PinnedImage | PlannedExtension]] = [
            ("imager", self.imager),
            ("installer base", self.installer_base),
        ]
        found += [("catalog", self.catalog)] if self.catalog else []
        found += [(f"extension {extension.name}", extension) for extension in self.extensions]
        return (*found, *([("overlay", self.overlay)] if self.overlay else []))

    def to_json(self) -> str:
        """Return the plan as JSON text, with a newline at its end."""
        return json_text(self.model_dump(mode="json"))

    def to_yaml(self) -> str:
        """Return the plan as YAML text."""
        return yaml_text(self.model_dump(mode="json"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `to_json` or `to_yaml` wrote; raises `PlanError` for anything else."""
        try:
            if text.lstrip().startswith("{"):
                data: Any = json.loads(text)
            else:
                check_events(text, "the plan", FileError, aliases=False)
                data = yaml.safe_load(text)
            # The profiles that a printed plan carries follow from the rest.
            if isinstance(data, dict):
                cast("dict[str, Any]", data).pop("profiles", None)
            return cls.model_validate(data)
        except (yaml.YAMLError, FileError, RecursionError, ValueError, TypeError, LookupError) as error:
            raise PlanError(f"not a plan: {error}") from None
