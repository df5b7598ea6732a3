"""Checks of installer images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.common.arch import ARCHES
from ci.plan.quirks import INSTALL_FOLDER, install_folder, is_installer
from ci.verify.model import Verdict, skip

if TYPE_CHECKING:
    from ci.inspect.models import ImageFacts
    from ci.plan.expectation import Expectation
    from ci.verify.assets import Assets, Found

_NO_INSTALLER = "no image here is an installer"
_VERSION_LABEL = "alpha.talos.dev/version"


def _installers(assets: Assets) -> list[Found[ImageFacts]]:
    return [image for image in assets.images if any(e.path.startswith(INSTALL_FOLDER) for e in image.facts.entries)]


def installer_architecture(assets: Assets, expectation: Expectation) -> Verdict:
    """`installer.architecture`."""
    wanted = {f"linux/{arch}" for arch in ((expectation.arch,) if expectation.arch else ARCHES)}
    return Verdict(
        problems=[
            f"{image.path} is for {image.facts.os}/{image.facts.architecture}, {' or '.join(sorted(wanted))} is wanted"
            for image in assets.images
            if f"{image.facts.os}/{image.facts.architecture}" not in wanted
        ],
        evidence=[f"{image.path}: {image.facts.os}/{image.facts.architecture}" for image in assets.images],
    )


def installer_boot_files(assets: Assets, expectation: Expectation) -> Verdict:
    """`installer.boot-files`."""
    if expectation.arch is None:
        return skip("nothing says which architecture the boot files should be for")
    verdict = Verdict()
    folder = install_folder(expectation.arch)
    for image in assets.images:
        inside = {node.name: node.kind for node in image.node.contents}
        names = {entry.path for entry in image.facts.entries if entry.type == "file"}
        wanted = {f"{folder}vmlinuz.efi": "uki", f"{folder}systemd-boot.efi": "efi"}
        for path, kind in wanted.items():
            if path not in names:
                verdict.problems.append(f"{image.path} lacks /{path}")
            elif inside.get(path) != kind:
                verdict.problems.append(f"{image.path}: /{path} is a {inside.get(path, 'file')}, no {kind}")
        foreign = [name for name in sorted(names) if name.startswith(INSTALL_FOLDER) and not name.startswith(folder)]
        verdict.problems += [f"{image.path} holds /{name}, of another architecture" for name in foreign]
        verdict.evidence += [f"{image.path}: /{name}" for name in sorted(names) if name.startswith(folder)]
    return verdict


def installer_entrypoint(assets: Assets, _: Expectation) -> Verdict:
    """`installer.entrypoint`."""
    if not _installers(assets):
        return skip(_NO_INSTALLER)
    verdict = Verdict()
    for image in _installers(assets):
        command = image.facts.entrypoint[0] if image.facts.entrypoint else None
        if command is None:
            verdict.problems.append(f"{image.path} has no entrypoint")
        elif not is_installer(command):
            verdict.problems.append(f"{image.path}: its entrypoint {command} is no installer")
        elif not _exists(image.facts, command):
            verdict.problems.append(f"{image.path}: its entrypoint {command} is not in the image")
        else:
            verdict.evidence.append(f"{image.path}: {command}")
    return verdict


def _exists(facts: ImageFacts, path: str) -> bool:
    """Whether a path is a file in an image, links on the way followed."""
    entries = {entry.path: entry for entry in facts.entries}
    parts, done = path.strip("/").split("/"), ""
    for _ in range(100):
        if not parts:
            return done in entries and entries[done].type in ("file", "hardlink")
        part = parts.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        here = f"{done}/{part}" if done else part
        entry = entries.get(here)
        if entry is not None and entry.type == "symlink" and entry.target:
            parts = entry.target.split("/") + parts
            done = "" if entry.target.startswith("/") else done
        else:
            done = here
    return False


def installer_digests(assets: Assets, _: Expectation) -> Verdict:
    """`installer.digests`."""
    verdict = Verdict()
    for image in assets.images:
        facts = image.facts
        actual = {layer.blob: layer.sha256 for layer in facts.layers}
        for blob, claimed in facts.claimed.items():
            digest = actual.get(blob, facts.config_sha256)
            if digest != claimed:
                verdict.problems.append(f"{image.path}: the blob {blob} has the digest {digest}")
        diffs = tuple(layer.diff_id for layer in facts.layers)
        if diffs != facts.diff_ids:
            verdict.problems.append(f"{image.path}: the layers are {diffs}, the configuration claims {facts.diff_ids}")
        verdict.evidence.append(f"{image.path}: {len(facts.layers)} layers")
    return verdict


def installer_version(assets: Assets, expectation: Expectation) -> Verdict:
    """`installer.version`."""
    stated = [(image.path, image.facts.labels.get(_VERSION_LABEL)) for image in _installers(assets)]
    if not stated:
        return skip(_NO_INSTALLER)
    return Verdict(
        problems=[
            f"{path} has the label {_VERSION_LABEL}={version}, {expectation.talos or 'a version'} is wanted"
            for path, version in stated
            if version is None or (expectation.talos is not None and version != expectation.talos)
        ],
        evidence=[f"{path}: {version}" for path, version in stated],
    )
