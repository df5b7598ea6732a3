"""Machine configuration through the engine: the image's services, the installer's content, the auth key."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import dagger
from dagger import dag

from ci.common.concurrency import gather_each
from ci.common.errors import AssetsError, FileError, UserError, said
from ci.common.progress import say
from ci.common.text import escaped
from ci.common.yamltext import check_size
from ci.execute import commands, examine
from ci.execute.tools import base, with_module
from ci.load.configuration import placeholder
from ci.node import machine_config
from ci.node.check import Level, check, render
from ci.node.configuration_file import LARGEST, ConfigurationFileError, read_configuration
from ci.node.installer import check_installer
from ci.node.keys import Key
from ci.node.request import NodeSettings, parse_disk
from ci.node.services import FOLDER, Service, parse_service, unmet
from ci.node.tailnet import AUTH_KEY, SERVICE
from ci.node.tailscale import settings
from ci.plan.expectation import expectation_anywhere
from ci.report.tables import Format

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.common.references import Reference
    from ci.execute.pipeline import Pipeline
    from ci.load.variant import Variant
    from ci.node.check import Finding, Subject
    from ci.node.configuration_file import NodeConfiguration
    from ci.node.machine_config import MachineConfig
    from ci.node.tailscale import Asked
    from ci.plan.model import Plan
    from ci.resolve.model import PlannedExtension

#: Where the container finds the key.
_KEY_FILE: Final = "/run/secrets/auth-key"

#: What engines answer where an image has no part for the nodes' architecture.
_OTHER_PLATFORMS: Final = ("no match for platform", "does not match the specified platform", "not found for platform")
#: The requirements whose evidence says what an installer holds.
_SHOWN: Final = ("installer.architecture", "installer.version", "extensions.planned")


class _Image:
    """An extension's file tree."""

    def __init__(self, name: str, root: dagger.Directory) -> None:
        self.name = name
        self.root = root

    async def services(self) -> list[Service]:
        files = await self.root.glob(f"{FOLDER}/*.yaml")
        return [await self._service(file) for file in sorted(files)]

    async def _service(self, path: str) -> Service:
        file, called = self.root.file(path), f"{self.name}:/{path}"
        check_size(await file.size(), escaped(called), FileError)
        return parse_service(called, await file.contents())


async def check_services(plan: Plan, variant: Variant, pipeline: Pipeline) -> tuple[Service, ...]:
    """Return the services of all extensions of a plan, and check that the variant's nodes get what they wait for.

    Raises `FileError` with a line for each dependency that nothing meets.
    """

    async def read(extension: PlannedExtension) -> tuple[_Image, Iterable[Service]]:
        image = _Image(extension.name, (await pipeline.root(extension)).directory("rootfs"))
        return image, await image.services()

    found = await gather_each(read, plan.extensions)
    images = [image for image, _ in found]
    services = sorted((service for _, some in found for service in some), key=lambda service: service.file)
    configuration = variant.spec.configuration
    there = {*machine_config.provided_paths(configuration), *await _carried(images, services)}
    configured = [service.name for service in configuration.extension_services]
    if problems := list(unmet(services, there, configured)):
        raise FileError(variant.file, None, "\n".join(["a node would never finish its boot:", *problems]))
    return tuple(services)


async def _carried(images: Iterable[_Image], services: Iterable[Service]) -> set[str]:
    """Return which of the paths that services wait for the extensions themselves carry."""
    wanted = {path for service in services for path in service.paths}
    return {path for path in wanted for image in images if await image.root.exists(path.lstrip("/"))}


async def configure(
    plan: Plan,
    variant: Variant,
    asked: Asked,
    node: NodeSettings,
    installer: Reference | None,
    auth_key: dagger.Secret | None,
) -> MachineConfig:
    """Check key and installer image as well, and return the files; the auth key is still a placeholder."""
    version = next((one.version for one in plan.extensions if one.name == SERVICE), None)
    told = settings(variant, asked, key=await key_of(auth_key), tailscale_version=version)
    disk = parse_disk(node.disk, plan.talos_version)
    questions = await check_image(installer, plan)
    settled = replace(node, disk=disk, warnings=questions)
    return machine_config.make_machine_config(variant, plan.talos_version, told, installer, settled)


async def check_image(reference: Reference | None, plan: Plan) -> tuple[str, ...]:
    """Check a reference of an installer by its name, and by its content where it can be pulled; say what it holds.

    Returns what stays open, as warnings. Raises `UserError` for an image that is not what is planned.
    """
    if reference is None:
        return ()
    questions = check_installer(reference, plan)
    found = await examine.subject(None, str(reference), None, plan.arch)
    try:
        await found.as_folder().entries()  # pulls it: what fails after this is not the registry's fault
    except dagger.QueryError as error:
        if any(sign in str(error).lower() for sign in _OTHER_PLATFORMS):
            raise UserError(f"--installer: {reference} is not for {plan.arch.value}: {said(error)}") from None
        reason = said(error).strip().splitlines()[0]
        return (*questions, f"--installer: {reference} was not looked into, since it can't be pulled: {reason}")
    try:
        told = await examine.verify(found, expectation_anywhere(plan), Format.JSON)
    except AssetsError as error:
        raise UserError(_refusal(reference, plan, str(error))) from None
    say(f"--installer: {reference} is what is planned:\n" + "\n".join(_evidence(json.loads(told))))
    return ()


def _refusal(reference: Reference, plan: Plan, told: str) -> str:
    try:
        checks: list[Any] = json.loads(told)["checks"]
    except ValueError:
        return f"--installer: {reference} is not an installer that can be read: {told}"
    failed = [line for check in checks if check["status"] == "fail" for line in check["evidence"]]
    return "\n".join(
        [f"--installer: {reference} is not what is planned for variant {plan.variant}, Talos {plan.talos_version}:"]
        + [f"- {line}" for line in failed]
    )


def _evidence(document: dict[str, Any]) -> list[str]:
    shown = {check["id"]: check["evidence"] for check in document["checks"]}
    return [f"  {line}" for number in _SHOWN for line in shown.get(number, ())]


async def key_of(auth_key: dagger.Secret | None) -> Key | None:
    """Return what may be known of an auth key; it is read in a container, and nothing else of it comes out."""
    if auth_key is None:
        return None
    done = _with_key("ci.steps.key", auth_key).with_exec(commands.describe_key(_KEY_FILE), expect=dagger.ReturnType.ANY)
    if await done.exit_code() != 0:
        raise UserError(f"--tailscale-auth-key: {_complaint(await done.stderr())}")
    return Key(**json.loads(await done.stdout()))


async def check_files(files: Iterable[dagger.File], subject: Subject) -> str:
    """Return what was found in users' configurations. Raises `UserError` with it where there is a problem."""
    results: list[tuple[NodeConfiguration, list[Finding]]] = []
    for file in files:
        name = await file.name()
        check_size(await file.size(), name, ConfigurationFileError, LARGEST)
        found = read_configuration(name, await file.contents())
        results.append((found, check(found, subject)))
    text = render(results, subject)
    if any(finding.level is Level.PROBLEM for _, findings in results for finding in findings):
        raise UserError(f"--check: not what nodes of variant {subject.variant.name} need:\n{text}".rstrip("\n"))
    return text


async def folder(made: MachineConfig, auth_key: dagger.Secret | None) -> dagger.Directory:
    """Return the files; one with an auth key in it may be read by its owner only.

    Raises `UserError` for a secret that is not a key.
    """
    result = dag.directory()
    for name, text in made.files.items():
        if auth_key is not None and placeholder(AUTH_KEY) in text:
            result = result.with_file(name, await _filled(text, auth_key), permissions=0o600)
        else:
            result = result.with_new_file(name, text, permissions=0o644)
    return result


def _with_key(module: str, auth_key: dagger.Secret) -> dagger.Container:
    return (
        with_module(base(), module)
        # What a secret holds is no part of an exec's cache key: another key must not give the result of the first one.
        .with_env_variable("ONCE", secrets.token_hex(16))
        .with_mounted_secret(_KEY_FILE, auth_key)
    )


async def _filled(text: str, auth_key: dagger.Secret) -> dagger.File:
    done = (
        _with_key("ci.steps.fill", auth_key)
        .with_new_file("/in/node.yaml", text)
        .with_exec(
            commands.fill("/in/node.yaml", "/out/node.yaml", placeholder(AUTH_KEY), _KEY_FILE),
            expect=dagger.ReturnType.ANY,
        )
    )
    if await done.exit_code() != 0:
        raise UserError(f"--tailscale-auth-key: {_complaint(await done.stderr())}")
    return done.file("/out/node.yaml")


def _complaint(stderr: str) -> str:
    return stderr.strip().removeprefix("error: ")
