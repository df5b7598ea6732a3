"""CozyStack's own description of its boot assets, as a checkout has it: Talos version, extensions, matchbox.

The profiles are in `packages/core/talos/images/talos/profiles/` since v0.40, and in `packages/core/installer/…` before.
There is one for each of `PROFILES`, all for one architecture and one Talos version, all with the same extensions.
Anything else is refused: nothing is guessed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field

from ci.common import pins, yamltext
from ci.common.arch import Arch
from ci.common.errors import ReferenceSyntaxError, UpstreamError
from ci.common.kinds import PROFILES
from ci.common.references import Reference, parse_reference
from ci.common.values import Value
from ci.load.layouts import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci.common.kinds import Kind

#: A tag of CozyStack's releases: v1.6.2, v1.7.0-rc.1.
_RELEASE = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.-]+)?")
_VERSION = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+(-(alpha|beta|rc)\.[0-9]+)?")
_INSTALL_PATH = re.compile(r"/usr/install/(?P<arch>[a-z0-9_]+)/(?P<file>[a-z0-9.-]+)")
# Extensions with kernel modules carry the Talos version that they are built for: drbd:9.3.2-v1.13.6.
_BUILT_FOR = re.compile(r"-(v[0-9]+\.[0-9]+\.[0-9]+(?:-(?:alpha|beta|rc)\.[0-9]+)?)$")
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(?P<image>\S+)", re.IGNORECASE | re.MULTILINE)


def _talos_version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise ValueError(f"bad Talos version {text!r}: it looks like v1.13.6")
    return text


def _reference(text: str) -> str:
    try:
        return str(parse_reference(text))
    except ReferenceSyntaxError as error:
        raise ValueError(str(error)) from None


_Problem: TypeAlias = tuple[yamltext.Path, str]

ImageRef = Annotated[str, AfterValidator(_reference)]


# The imager ignores unknown fields silently. Here one is refused: it may mean something that we do not understand.
class _FileAsset(Value):
    path: str


class _ImageAsset(Value):
    image_ref: ImageRef


class _Input(Value):
    kernel: _FileAsset
    initramfs: _FileAsset
    base_installer: _ImageAsset
    system_extensions: tuple[_ImageAsset, ...]


class _ImageOptions(Value):
    disk_size: Annotated[int, Field(gt=0)] | None = None
    disk_format: Literal["raw"] | None = None


class _Output(Value):
    kind: str
    image_options: _ImageOptions = _ImageOptions()
    out_format: Literal["raw", ".xz"]


class _Customization(Value):
    extra_kernel_args: tuple[str, ...] = ()


class _Profile(Value):
    arch: Arch
    platform: str
    secureboot: Literal[False]
    version: Annotated[str, AfterValidator(_talos_version)]
    customization: _Customization = _Customization()
    input: _Input
    output: _Output


@dataclass(frozen=True)
class ProfileFacts:
    """What outputs take over from one of upstream's profiles."""

    #: Bytes; for disk images only.
    disk_size: int | None = None
    extra_kernel_args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Matchbox:
    """Upstream's netboot image: its base, and the files in `/var/lib/matchbox`."""

    #: Base image of upstream's Dockerfile; `None` where the checkout has no Dockerfile.
    base: Reference | None
    #: File name → JSON text.
    groups: Mapping[str, str]
    profiles: Mapping[str, str]


@dataclass(frozen=True)
class Upstream:
    """What a CozyStack checkout says about its boot assets."""

    #: Folder of the sources, such as `packages/core/talos`.
    layout: str
    talos_version: str
    #: Architecture that upstream's profiles are written for.
    arch: Arch
    base_installer: Reference
    #: In upstream's order.
    extensions: tuple[Reference, ...]
    #: By file name without `.yaml`.
    profiles: Mapping[str, ProfileFacts]
    matchbox: Matchbox | None


def parse_release(text: str) -> str:
    """Read a release's tag; raises `UpstreamError` for an invalid one, before any repository is asked for it."""
    if not _RELEASE.fullmatch(text):
        raise UpstreamError(
            "--release", None, f"bad release {text!r}: write CozyStack's tag, such as {pins.DEFAULT_RELEASE.tag}"
        )
    return text


def load_upstream(files: Mapping[str, str], called: str = "--upstream") -> Upstream:
    """Read a checkout, given as path → text of (at least) the files that `PATTERNS` names; errors call it `called`.

    Raises `UpstreamError` with file, line and reason for a checkout that can't be understood: a layout of neither
    kind, a missing profile, profiles that disagree, a path of another architecture, no YAML.
    """
    layout = _layout(files, called)
    folder = f"{layout}/images/talos/profiles"
    profiles: dict[str, tuple[_Profile, yamltext.Document]] = {}
    for kind in PROFILES:
        path = f"{folder}/{kind.name}.yaml"
        if path not in files:
            there = sorted(p.removeprefix(f"{folder}/") for p in files if p.startswith(f"{folder}/"))
            raise UpstreamError(path, None, f"no profile of kind {kind.name}; the folder has {', '.join(there)}")
        document = yamltext.parse_yaml(files[path], path, UpstreamError)
        profile = yamltext.validate(_Profile, document, UpstreamError)
        _check(kind, profile, document)
        profiles[kind.name] = profile, document
    _check_agreement(profiles)
    common = profiles["kernel"][0]
    return Upstream(
        layout=layout,
        talos_version=common.version,
        arch=common.arch,
        base_installer=parse_reference(common.input.base_installer.image_ref),
        extensions=_references(common),
        profiles={kind: _facts(profile) for kind, (profile, _) in profiles.items()},
        matchbox=_matchbox(layout, files),
    )


def _layout(files: Mapping[str, str], called: str) -> str:
    found = [layout for layout in LAYOUTS if any(p.startswith(f"{layout}/images/talos/profiles/") for p in files)]
    if len(found) == 1:
        return found[0]
    folders = [f"{layout}/images/talos/profiles/" for layout in LAYOUTS]
    if found:
        reason = f"there are profiles in both {' and '.join(folders)}: which of them count is not clear"
    else:
        reason = f"no Talos profiles: a CozyStack checkout (v0.38 or later) has them in {' or '.join(folders)}"
    raise UpstreamError(called, None, reason)


def _check(kind: Kind, profile: _Profile, document: yamltext.Document) -> None:
    for place, reason in (
        *_wrong_output(kind, profile),
        *_wrong_paths(profile),
        *_wrong_images(profile),
    ):
        raise UpstreamError(document.file, document.line(place), reason)


def _wrong_output(kind: Kind, profile: _Profile) -> Iterator[_Problem]:
    if profile.output.kind != kind.imager_kind:
        reason = f"output.kind is {profile.output.kind!r}, but {kind.name}.yaml is for {kind.imager_kind!r}"
        yield ("output", "kind"), reason
    if profile.platform != kind.platform:
        yield ("platform",), f"platform is {profile.platform!r}, but {kind.name}.yaml is for {kind.platform!r}"
    if kind.disk and profile.output.image_options.disk_size is None:
        yield ("output", "imageOptions"), "a disk image needs imageOptions.diskSize"


def _wrong_paths(profile: _Profile) -> Iterator[_Problem]:
    for name, path, file in (
        ("kernel", profile.input.kernel.path, "vmlinuz"),
        ("initramfs", profile.input.initramfs.path, "initramfs.xz"),
    ):
        match = _INSTALL_PATH.fullmatch(path)
        if not match or match["file"] != file:
            reason = f"input.{name}.path is {path!r}: /usr/install/{profile.arch}/{file} is expected"
        elif match["arch"] != profile.arch:
            reason = (
                f"input.{name}.path is {path!r}, a path of {match['arch']}, but the profile's arch is {profile.arch}"
            )
        else:
            continue
        yield ("input", name, "path"), reason


def _wrong_images(profile: _Profile) -> Iterator[_Problem]:
    base = parse_reference(profile.input.base_installer.image_ref)
    if base.tag and base.tag != profile.version:
        place = ("input", "baseInstaller", "imageRef")
        yield place, f"base installer {base.tagged} is not of Talos {profile.version}"
    names: set[str] = set()
    for index, reference in enumerate(_references(profile)):
        place = ("input", "systemExtensions", index)
        if reference.name in names:
            yield place, f"extension {reference.name!r} is listed twice"
        names.add(reference.name)
        built_for = _BUILT_FOR.search(reference.tag or "")
        if built_for and built_for[1] != profile.version:
            yield place, f"{reference.tagged} is built for Talos {built_for[1]}, the profile is of {profile.version}"


def _check_agreement(profiles: Mapping[str, tuple[_Profile, yamltext.Document]]) -> None:
    first_kind, (first, first_document) = next(iter(profiles.items()))
    for kind, (profile, document) in profiles.items():
        for key, path, ours, theirs in (
            ("the Talos version", ("version",), profile.version, first.version),
            ("the architecture", ("arch",), profile.arch, first.arch),
            (
                "the base installer",
                ("input", "baseInstaller", "imageRef"),
                profile.input.base_installer.image_ref,
                first.input.base_installer.image_ref,
            ),
        ):
            if ours != theirs:
                raise UpstreamError(
                    document.file,
                    document.line(path),
                    f"{kind} and {first_kind} disagree on {key}: {ours} here, {theirs} in {first_document.file}",
                )
        if _references(profile) != _references(first):
            here, there = set(map(str, _references(profile))), set(map(str, _references(first)))
            differing = sorted(here ^ there)
            what = ", ".join(differing) if differing else "their order"
            raise UpstreamError(
                document.file,
                document.line(("input", "systemExtensions")),
                f"{kind} and {first_kind} disagree on the extensions: {what}",
            )


def _references(profile: _Profile) -> tuple[Reference, ...]:
    return tuple(parse_reference(asset.image_ref) for asset in profile.input.system_extensions)


def _facts(profile: _Profile) -> ProfileFacts:
    return ProfileFacts(
        disk_size=profile.output.image_options.disk_size,
        extra_kernel_args=profile.customization.extra_kernel_args,
    )


def _matchbox(layout: str, files: Mapping[str, str]) -> Matchbox | None:
    folder = f"{layout}/images/matchbox"
    if not any(path.startswith(f"{folder}/") for path in files):
        return None
    base = None
    dockerfile = f"{folder}/Dockerfile"
    if dockerfile in files:
        images = _FROM.findall(files[dockerfile])
        if len(images) != 1:
            raise UpstreamError(dockerfile, None, f"one FROM is expected, {len(images)} are there")
        try:
            base = parse_reference(images[0])
        except ReferenceSyntaxError as error:
            raise UpstreamError(dockerfile, None, str(error)) from None
    return Matchbox(base, _json_files(files, f"{folder}/groups/"), _json_files(files, f"{folder}/profiles/"))


def _json_files(files: Mapping[str, str], folder: str) -> dict[str, str]:
    found = {path.removeprefix(folder): text for path, text in sorted(files.items()) if path.startswith(folder)}
    for name, text in found.items():
        try:
            value: Any = json.loads(text)
        except ValueError as error:
            raise UpstreamError(f"{folder}{name}", getattr(error, "lineno", None), f"not JSON: {error}") from None
        if not isinstance(value, dict):
            raise UpstreamError(f"{folder}{name}", None, "a JSON object is expected")
    return found
