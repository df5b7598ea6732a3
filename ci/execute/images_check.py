"""Images looked at with crane: those that were just made, and published ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import dagger
from dagger import dag

from ci.common.errors import AssetsError, RegistryError, UpstreamError
from ci.common.filenames import CHECKSUMS
from ci.common.oci import MANIFEST
from ci.common.references import parse_reference
from ci.execute import commands
from ci.execute.build import build_assets
from ci.execute.examine import complaint
from ci.execute.imaging import check_possible, make_image
from ci.execute.sdk import with_image
from ci.execute.tools import crane, tools
from ci.plan import images, netboot
from ci.publish.address import parse_address
from ci.publish.auth import Credentials
from ci.publish.client import Registry
from ci.report.tables import Format
from ci.verify.checks_images import ASSETS, ExpectedImage, RegistryFacts
from ci.verify.checksums import parse_checksums

if TYPE_CHECKING:
    from ci.common.arch import Arch
    from ci.execute.imaging import AssetImage
    from ci.execute.inputs import Inputs
    from ci.execute.registry import Login
    from ci.execute.sealing import BuiltAssets
    from ci.plan.expectation import Expectation
    from ci.plan.images import ImageKind

_IMAGE: Final = "/in/image"
_EXPECTED: Final = "/in/expected.json"
_ABOUT: Final = "/in/about.json"
_ASSETS: Final = "/in/assets.json"
_MARKS: Final = {"pass": "PASS", "fail": "FAIL", "skip": "SKIP"}


async def _looker() -> dagger.Container:
    return (await tools("ci.steps.images")).with_mounted_file("/usr/local/bin/crane", await crane())


async def expected_of(image: AssetImage, kind: ImageKind, assets: BuiltAssets) -> ExpectedImage:
    """Return what an image that was just made has to be."""
    plan = assets.plan
    index = json.loads(await image.layout.file("index.json").contents())
    listed = dict(parse_checksums(await assets.folder.file(CHECKSUMS).contents()))
    places = {"kernel": netboot.KERNEL, "initramfs": netboot.INITRAMFS}
    files: dict[str, str | None] = {}
    for output in plan.outputs:
        if kind.name == "assets":
            files[ASSETS + output.path] = listed.get(output.path)
        elif kind.name == "matchbox" and output.name in places:
            files[places[output.name]] = listed.get(output.path)
    return ExpectedImage(
        kind=kind.name,
        platform=plan.arch.platform,
        labels=image.spec.labels,
        digest=str(index["manifests"][0]["digest"]),
        files=files,
    )


async def check_made(image: AssetImage, kind: ImageKind, assets: BuiltAssets) -> list[dict[str, Any]]:
    """Return the checks of an image that was made of assets."""
    expected = await expected_of(image, kind, assets)
    run = (
        (await _looker())
        .with_mounted_directory(_IMAGE, image.layout, read_only=True)
        .with_new_file(_EXPECTED, expected.model_dump_json())
        .with_exec(commands.check_image(_IMAGE, kind.name, _EXPECTED, "json"), expect=dagger.ReturnType.ANY)
    )
    if await run.exit_code() not in commands.CHECKED:
        raise AssetsError(complaint(await run.stderr()))
    return json.loads(await run.stdout())["checks"]


async def image_lines(inputs: Inputs, variant: str) -> tuple[list[str], bool]:
    """Build a variant's images and check them; return a line for each requirement, and whether all are met."""
    lines: list[str] = []
    passed = True
    upstream = (await inputs.checkout()).upstream
    for kind in images.KINDS.values():
        name = f"{variant} {kind.name}"
        try:
            check_possible(kind, upstream)
            assets = await build_assets(inputs, await inputs.plan(variant, kind.wanted(None)))
            checks = await check_made(await make_image(kind, assets, upstream), kind, assets)
        except UpstreamError as error:
            if kind.name != "matchbox":
                raise
            lines.append(f"SKIP {name} image.files: {error}")
            continue
        for one in checks:
            lines.append(f"{_MARKS[one['status']]} {name} {one['id']}: {one['sentence']}")
            if one["status"] == "fail":
                lines += [f"     {evidence}" for evidence in one["evidence"]]
                passed = False
    return lines, passed


async def verify_image(
    reference: str, arch: Arch, login: Login | None, expectation: Expectation | None, form: Format
) -> str:
    """Return how every check of an image in a registry, and of the assets in it, went.

    Raises `AssetsError` with it where one failed.
    """
    parse_reference(reference)
    container = with_image(dag.container(platform=dagger.Platform(arch.platform)), reference)
    digest = (await container.image_ref()).rpartition("@")[2]
    about = await registry_facts(reference, digest, arch, login)
    expected = ExpectedImage(platform=arch.platform)
    looker = (
        (await _looker())
        .with_mounted_file(_IMAGE, container.as_tarball())
        .with_new_file(_EXPECTED, expected.model_dump_json())
        .with_new_file(_ABOUT, about.model_dump_json())
    )
    if expectation:
        looker = looker.with_new_file(_ASSETS, json.dumps(expectation.model_dump(mode="json"), sort_keys=True))
    against = _ASSETS if expectation else "-"
    command = commands.check_image(_IMAGE, reference, _EXPECTED, form.value, about=_ABOUT, assets=against)
    run = looker.with_exec(command, expect=dagger.ReturnType.ANY)
    code, told = await run.exit_code(), await run.stdout()
    if code not in commands.CHECKED:
        raise AssetsError(told + complaint(await run.stderr()))
    if code != 0:
        # Of the other forms an error is the document alone.
        title = f"{reference}: a check failed:\n" if form is Format.TEXT else ""
        raise AssetsError(title + (told + await run.stderr()).rstrip("\n"))
    return told


async def registry_facts(reference: str, digest: str, arch: Arch, login: Login | None) -> RegistryFacts:
    """Ask an image's registry for its manifest: the engine gives layers and configuration alone."""
    host, _, name = parse_reference(reference).repository.partition("/")
    credentials = None
    if login and login.address == host:
        credentials = Credentials(login.username, await login.password.plaintext())
    try:
        async with Registry(parse_address(host), credentials) as registry:
            found = await registry.manifest(name, digest)
            if found and found.media_type != MANIFEST:
                own = of_platform(found.content, arch)
                digest = own or digest
                found = await registry.manifest(name, own) if own else None
    except RegistryError as error:
        return RegistryFacts(unknown=f"the registry can't be asked for the manifest: {error}")
    if found is None:
        return RegistryFacts(unknown=f"the registry does not give a manifest for {arch.platform}")
    try:
        return RegistryFacts(annotations=json.loads(found.content).get("annotations") or {}, digest=digest)
    except (ValueError, AttributeError, RecursionError):  # pydantic's error is a ValueError
        return RegistryFacts(unknown="what the registry gives as the manifest is not one")


def of_platform(index: bytes, arch: Arch) -> str | None:
    """Return the digest of a platform's manifest in an index, `None` where there is none."""
    wanted = {"os": "linux", "architecture": arch.value}
    try:
        for one in json.loads(index)["manifests"]:
            platform: dict[str, Any] = one.get("platform") or {}
            if all(platform.get(key) == value for key, value in wanted.items()):
                return str(one["digest"])
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return None
