"""The service files of a plan's images, read through the engine."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest

from ci.execute import configure, pipeline
from ci.node.services import UnmetDependencyError
from tests.unit.planning import plan_of, request, variant
from tests.unit.test_services import TAILSCALE, ZFS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.load.variant import Variant
    from ci.resolve.model import PlannedExtension


@dataclass
class Tree:
    """A folder that stands in for an image, and for its file trees."""

    files: Mapping[str, str]
    below: str = ""

    def rootfs(self) -> Tree:
        return self

    def directory(self, path: str) -> Tree:
        return Tree(self.files, f"{self.below}{path}/")

    async def glob(self, pattern: str) -> list[str]:
        return [path.removeprefix(self.below) for path in self.files if fnmatchcase(path, f"{self.below}{pattern}")]

    def file(self, path: str) -> Tree:
        return Tree(self.files, self.below + path)

    async def contents(self) -> str:
        return self.files[self.below]

    async def exists(self, path: str) -> bool:
        return self.below + path in self.files


SERVICES = "rootfs/usr/local/etc/containers"
IMAGES = {
    "zfs": {f"{SERVICES}/zfs-service.yaml": ZFS},
    "tailscale": {f"{SERVICES}/tailscale.yaml": TAILSCALE, f"{SERVICES}/readme.txt": "not: [a service"},
}


async def check(chosen: Variant | str, monkeypatch: pytest.MonkeyPatch, images: Mapping[str, Any] = IMAGES) -> None:
    wanted = request(chosen)

    async def pull(extension: PlannedExtension, platform: str) -> Tree:
        assert platform == "linux/arm64"
        return Tree(images.get(extension.name, {}))

    monkeypatch.setattr(pipeline, "pull", pull)
    plan = await plan_of(wanted)
    await configure.check_services(plan, wanted.variant, pipeline.Pipeline(plan))


@pytest.mark.parametrize("name", ["spin-only", "spin-tailscale"])
async def test_the_projects_variants_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await check(name, monkeypatch)


async def test_a_variant_that_tells_its_nodes_nothing_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnmetDependencyError) as raised:
        await check(variant("extensions: {add: [tailscale]}\n"), monkeypatch)
    head, *lines = str(raised.value).splitlines()
    assert head == "variants/mine.yaml: a node would never finish its boot:"
    folder = "/usr/local/etc/containers"
    assert [line.split(",")[0].split(":  ")[0] for line in lines] == [
        (
            f"tailscale:{folder}/tailscale.yaml: service tailscale waits for an ExtensionServiceConfig document: add "
            "tailscale to configuration.extensionServices"
        ),
        f"zfs:{folder}/zfs-service.yaml: service zfs-service waits for /dev/zfs",
    ]


async def test_a_path_that_an_extension_carries_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "name: a\ndepends: [{path: /usr/local/share/a}]\ncontainer: {entrypoint: /a}\nrestart: always\n"
    images: dict[str, Any] = {"spin": {f"{SERVICES}/a.yaml": text}}
    plain = variant("extensions: {add: [spin]}\n")
    with pytest.raises(UnmetDependencyError, match="service a waits for /usr/local/share/a"):
        await check(plain, monkeypatch, images)
    await check(plain, monkeypatch, images | {"drbd": {"rootfs/usr/local/share/a": ""}})
