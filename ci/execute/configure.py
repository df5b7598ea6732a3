"""Machine configuration through the engine: what the image's services wait for, and the auth key in its place."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import dagger
from dagger import dag

from ci.common.concurrency import gather_each
from ci.execute import commands
from ci.execute.tools import base, with_module
from ci.load.configuration import placeholder
from ci.node import machine_config, tailscale
from ci.node.services import FOLDER, Service, UnmetDependencyError, parse_service, unmet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.execute.pipeline import Pipeline
    from ci.load.variant import Variant
    from ci.node.machine_config import MachineConfig
    from ci.plan.model import Plan
    from ci.resolve.model import PlannedExtension

#: Where the container finds the key.
_KEY_FILE: Final = "/run/secrets/auth-key"


class _Image:
    """An extension's file tree."""

    def __init__(self, name: str, root: dagger.Directory) -> None:
        self.name = name
        self.root = root

    async def services(self) -> list[Service]:
        files = await self.root.glob(f"{FOLDER}/*.yaml")
        return [parse_service(f"{self.name}:/{file}", await self.root.file(file).contents()) for file in sorted(files)]


async def check_services(plan: Plan, variant: Variant, pipeline: Pipeline) -> None:
    """Read the service files of all extensions of a plan, and check that the variant's nodes are told what they need.

    Raises `UnmetDependencyError` with a line for each dependency that nothing meets.
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
        raise UnmetDependencyError(variant.file, None, "\n".join(["a node would never finish its boot:", *problems]))


async def _carried(images: Iterable[_Image], services: Iterable[Service]) -> set[str]:
    """Return which of the paths that services wait for the extensions themselves carry."""
    wanted = {path for service in services for path in service.paths}
    return {path for path in wanted for image in images if await image.root.exists(path.lstrip("/"))}


async def folder(made: MachineConfig, auth_key: dagger.Secret | None) -> dagger.Directory:
    """Return the files; with an auth key in them, nobody but their owner may read them.

    Raises `MachineConfigError` for a secret that is no key.
    """
    result = dag.directory()
    for name, text in made.files.items():
        if name == machine_config.NODE and auth_key is not None:
            result = result.with_file(name, await _filled(text, auth_key), permissions=0o600)
        else:
            result = result.with_new_file(name, text, permissions=0o644)
    return result


async def _filled(text: str, auth_key: dagger.Secret) -> dagger.File:
    done = (
        with_module(base(), "ci.steps.fill")
        # What a secret holds is no part of an exec's cache key: another key must not give the file of the first one.
        .with_env_variable("ONCE", secrets.token_hex(16))
        .with_new_file("/in/node.yaml", text)
        .with_mounted_secret(_KEY_FILE, auth_key)
        .with_exec(
            commands.fill("/in/node.yaml", "/out/node.yaml", placeholder(tailscale.AUTH_KEY), _KEY_FILE),
            expect=dagger.ReturnType.ANY,
        )
    )
    if await done.exit_code() != 0:
        said = (await done.stderr()).strip().removeprefix("error: ")
        raise machine_config.MachineConfigError(f"--tailscale-auth-key: {said}")
    return done.file("/out/node.yaml")
