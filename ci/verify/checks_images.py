"""Checks of container images that this project makes, over what crane says of them (`ci.steps.images` asks it).

An image FROM scratch has no shell, so it is looked at from outside: `crane export IMAGE - | tar -tf -`.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from typing import TYPE_CHECKING, Final

from pydantic import Field

from ci.common.filenames import (
    CHECKSUMS,
    PROVENANCE,
    REPORT,
    REPORT_PAGE,
    REPORT_TEXT,
    SBOM,
    SIGNATURES,
    STAND_IN,
    UNLISTED,
)
from ci.common.pins import STAND_IN_LABEL
from ci.common.values import Value
from ci.plan import netboot
from ci.plan.images import OCI_KEYS, OWN_KEYS, PLAN, REPEATED
from ci.plan.quirks import INSTALL_FOLDER, install_folder
from ci.verify.checksums import ChecksumsError, parse_checksums
from ci.verify.model import Check, Requirement, Verdict, skip

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Where an asset image holds the assets.
ASSETS: Final = "assets/"
#: What a build writes about its assets, in every asset image.
WRITTEN: Final = (CHECKSUMS, REPORT, REPORT_TEXT, REPORT_PAGE, SBOM, PROVENANCE)


class ImageEntry(Value):
    """One path in an image's file system."""

    #: `file`, `directory`, `symlink`, or what else tar knows.
    type: str
    sha256: str | None = None
    #: Of a link.
    target: str | None = None


class FoundImage(Value):
    """What crane says of an image of one platform."""

    #: Such as linux/arm64.
    platform: str
    labels: dict[str, str]
    #: Of the manifest; `None` where it is not known, and `unknown` says why.
    annotations: dict[str, str] | None = None
    #: Of the manifest; `None` where it is not known.
    digest: str | None = None
    unknown: str = ""
    #: What `crane validate` complains of; empty: nothing.
    complaint: str = ""
    entrypoint: tuple[str, ...] = ()
    #: By path, without a slash at either end.
    entries: dict[str, ImageEntry] = Field(default_factory=dict[str, ImageEntry])
    #: Text of the list of checksums in an asset image.
    checksums: str | None = None


class RegistryFacts(Value):
    """What a registry says of an image's manifest, which the engine that pulls it leaves out."""

    annotations: dict[str, str] | None = None
    digest: str | None = None
    #: Why it is not known.
    unknown: str = ""


class ExpectedImage(Value):
    """What an image has to be; what is `None` is taken from the image itself."""

    #: A name of `ci.plan.images.KINDS`.
    kind: str | None = None
    platform: str | None = None
    labels: dict[str, str] | None = None
    #: Of the manifest.
    digest: str | None = None
    #: Planned files by path, with the digest where it is known.
    files: dict[str, str | None] | None = None


def kind_of(found: FoundImage, expected: ExpectedImage) -> str | None:
    """Return which of this project's images it is, by its content; `None`: none of them."""
    if expected.kind:
        return expected.kind
    marks = {"assets": ASSETS + CHECKSUMS, "matchbox": netboot.KERNEL}
    for kind, mark in marks.items():
        if mark in found.entries:
            return kind
    return "installer" if any(path.startswith(INSTALL_FOLDER) for path in found.entries) else None


def image_platform(found: FoundImage, expected: ExpectedImage) -> Verdict:
    """`image.platform`."""
    if expected.platform is None:
        return skip("nothing says which platform it should be for")
    if _without_variant(found.platform) != _without_variant(expected.platform):
        return Verdict(problems=[f"the image is for {found.platform}, {expected.platform} is wanted"])
    return Verdict(evidence=[found.platform])


def _without_variant(platform: str) -> str:
    return "/".join(platform.split("/")[:2])


def image_labels(found: FoundImage, expected: ExpectedImage) -> Verdict:
    """`image.labels`."""
    own = {key: value for key, value in found.labels.items() if key in OWN_KEYS}
    if expected.labels is not None:
        return Verdict(problems=list(_differences("label", own | _of(found.labels, expected.labels), expected.labels)),
                       evidence=[f"{len(expected.labels)} labels are those planned"])  # fmt: skip
    if PLAN not in found.labels:
        return skip(f"it is not an image of this project: it has no label {PLAN}")
    problems = [f"the label {key} is missing" for key in REPEATED if not found.labels.get(key)]
    return Verdict(problems=problems, evidence=[f"{key}={value}" for key, value in sorted(own.items())])


def image_annotations(found: FoundImage, expected: ExpectedImage) -> Verdict:
    """`image.annotations`."""
    if expected.labels is None and PLAN not in found.labels:
        return skip(f"it is not an image of this project: it has no label {PLAN}")
    if found.annotations is None:
        return skip(found.unknown)
    if expected.labels is not None:
        problems = list(_differences("annotation", found.annotations, expected.labels))
        return Verdict(problems=problems, evidence=[f"{len(expected.labels)} annotations are those planned"])
    wanted = {key: value for key, value in found.labels.items() if key in OWN_KEYS or key in REPEATED}
    wanted |= {key: found.labels.get(key, "") for key in found.annotations if key in OCI_KEYS}
    problems = list(_differences("annotation", found.annotations, wanted))
    return Verdict(problems=problems, evidence=[f"{len(found.annotations)} annotations repeat labels"])


def _of(labels: Mapping[str, str], wanted: Iterable[str]) -> dict[str, str]:
    return {key: labels[key] for key in wanted if key in labels}


def _differences(what: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> Iterable[str]:
    for key in sorted(found.keys() | wanted.keys()):
        if key not in found:
            yield f"the {what} {key} is missing, it should be {wanted[key]!r}"
        elif key not in wanted:
            yield f"the {what} {key} is not planned: {found[key]!r}"
        elif found[key] != wanted[key]:
            yield f"the {what} {key} is {found[key]!r}, it should be {wanted[key]!r}"


def image_digests(found: FoundImage, expected: ExpectedImage) -> Verdict:
    """`image.digests`."""
    problems = [f"crane validate: {found.complaint}"] if found.complaint else []
    if expected.digest and found.digest and found.digest != expected.digest:
        problems.append(f"the manifest's digest is {found.digest}, {expected.digest} is said to be")
    return Verdict(
        problems=problems, evidence=[f"manifest {found.digest}" if found.digest else "layers and configuration"]
    )


def image_files(found: FoundImage, expected: ExpectedImage) -> Verdict:
    """`image.files`."""
    kind = kind_of(found, expected)
    if kind == "assets":
        return _asset_files(found, expected)
    if kind == "installer":
        return _installer_files(found, expected)
    if kind == "matchbox":
        return _netboot_files(found)
    return skip("it holds none of what this project's images hold: /assets, /usr/install, /var/lib/matchbox")


def _asset_files(found: FoundImage, expected: ExpectedImage) -> Verdict:
    wanted = set(expected.files) if expected.files is not None else _listed_files(found)
    wanted |= {ASSETS + name for name in (*WRITTEN, *([STAND_IN] if STAND_IN_LABEL in found.labels else []))}
    folders = {parent for path in wanted for parent in _parents(path)}
    problems = [f"/{path} is missing" for path in sorted(wanted - found.entries.keys())]
    for path, entry in sorted(found.entries.items()):
        if entry.type == "directory" and path in folders:
            continue
        if path not in wanted and path != ASSETS + SIGNATURES:
            problems.append(f"/{path} is not planned")
        elif entry.type != "file":
            problems.append(f"/{path} is a {entry.type}, a file belongs there")
    return Verdict(problems=problems, evidence=[f"/{path}" for path in sorted(wanted)])


def _listed_files(found: FoundImage) -> set[str]:
    try:
        return {ASSETS + name for name, _ in parse_checksums(found.checksums or "")}
    except ChecksumsError:
        return set()


def _parents(path: str) -> Iterable[str]:
    while path := posixpath.dirname(path):
        yield path


def _installer_files(found: FoundImage, expected: ExpectedImage) -> Verdict:
    arch = (expected.platform or found.platform).split("/")[1]
    folder = install_folder(arch)
    verdict = Verdict()
    _need(verdict, found, (f"{folder}vmlinuz.efi", f"{folder}systemd-boot.efi"))
    _need_entrypoint(verdict, found)
    foreign = {path for path, entry in found.entries.items() if entry.type != "directory"}
    foreign = {path for path in foreign if path.startswith(INSTALL_FOLDER) and not path.startswith(folder)}
    verdict.problems += [f"/{path} is of another architecture" for path in sorted(foreign)]
    return verdict


def _netboot_files(found: FoundImage) -> Verdict:
    verdict = Verdict()
    profiles = [
        path for path in found.entries if path.startswith(f"{netboot.ROOT}/profiles/") and path.endswith(".json")
    ]
    _need(verdict, found, (netboot.KERNEL, netboot.INITRAMFS, *sorted(profiles)))
    if not profiles:
        verdict.problems.append(f"/{netboot.ROOT}/profiles holds no profile")
    _need_entrypoint(verdict, found)
    return verdict


def _need(verdict: Verdict, found: FoundImage, paths: Iterable[str]) -> None:
    for path in paths:
        entry = found.entries.get(path)
        if entry is None:
            verdict.problems.append(f"/{path} is missing")
        elif entry.type not in ("file", "hardlink"):
            verdict.problems.append(f"/{path} is a {entry.type}, a file belongs there")
        else:
            verdict.evidence.append(f"/{path}")


def _need_entrypoint(verdict: Verdict, found: FoundImage) -> None:
    if not found.entrypoint:
        verdict.problems.append("the image has no entrypoint")
    elif (path := _followed(found, found.entrypoint[0])) is None:
        verdict.problems.append(f"the entrypoint {found.entrypoint[0]} is not in the image")
    else:
        verdict.evidence.append(f"entrypoint {found.entrypoint[0]} (/{path})")


def _followed(found: FoundImage, path: str) -> str | None:
    """Return the file behind a path, links on the way followed; `None` where there is none."""
    parts, done = path.strip("/").split("/"), ""
    for _ in range(100):
        if not parts:
            return done if done in found.entries and found.entries[done].type in ("file", "hardlink") else None
        part = parts.pop(0)
        here = posixpath.normpath(posixpath.join(done, part)).lstrip("/")
        entry = found.entries.get(here)
        if entry and entry.type == "symlink" and entry.target:
            parts = [one for one in entry.target.split("/") if one] + parts
            done = "" if entry.target.startswith("/") else done
        else:
            done = "" if here in (".", "..") else here
    return None


def image_checksums(found: FoundImage, expected: ExpectedImage) -> Verdict:
    """`image.checksums`."""
    kind, verdict = kind_of(found, expected), Verdict()
    for path, digest in sorted((expected.files or {}).items()):
        if digest is not None and path in found.entries:
            _compare(verdict, found, path, digest, "the build made")
    if kind != "assets":
        return verdict if verdict.problems or verdict.evidence else skip("nothing says which bytes belong into it")
    if found.checksums is None:
        return Verdict(problems=[*verdict.problems, f"/{ASSETS}{CHECKSUMS} is missing"])
    try:
        listed = parse_checksums(found.checksums)
    except ChecksumsError as error:
        return Verdict(problems=[*verdict.problems, str(error)])
    for name, digest in listed:
        _compare(verdict, found, ASSETS + name, digest, f"{CHECKSUMS} lists")
    names = Counter(name for name, _ in listed)
    verdict.problems += [
        f"/{ASSETS}{name} is listed {count} times" for name, count in sorted(names.items()) if count > 1
    ]
    unlisted = {path.removeprefix(ASSETS) for path, entry in found.entries.items() if entry.type == "file"}
    verdict.problems += [f"/{ASSETS}{name} is not listed" for name in sorted(unlisted - names.keys() - set(UNLISTED))]
    return verdict


def _compare(verdict: Verdict, found: FoundImage, path: str, digest: str, said_by: str) -> None:
    entry = found.entries.get(path)
    if entry is None or entry.sha256 is None:
        verdict.problems.append(f"/{path} is not there as a file, {said_by} {digest}")
    elif entry.sha256 != digest:
        verdict.problems.append(f"/{path} is {entry.sha256}, {said_by} {digest}")
    else:
        verdict.evidence.append(f"{digest}  /{path}")


REQUIREMENTS: Final[tuple[Requirement, ...]] = tuple(
    Requirement(*row)
    for row in (
        ("image.platform", "The image is for the planned platform.", image_platform),
        ("image.labels", "The image's labels say what the plan says.", image_labels),
        ("image.annotations", "The manifest's annotations repeat the labels.", image_annotations),
        ("image.digests", "Every digest in the image is true.", image_digests),
        ("image.files", "The image holds the files of its kind; an asset image holds nothing else.", image_files),
        ("image.checksums", "The files in the image are those that were built.", image_checksums),
    )
)


def run_image_checks(found: FoundImage, expected: ExpectedImage) -> tuple[Check, ...]:
    """Return how each requirement of images went, in their order."""
    return tuple(one.run(found, expected).check(one.id, one.sentence) for one in REQUIREMENTS)
