"""The service files of a plan's images, read through the engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, cast

import dagger
import pytest

from ci.common.arch import Arch
from ci.common.errors import AssetsError, FileError, UserError
from ci.common.references import parse_reference
from ci.execute import configure, pipeline
from ci.node.check import Subject
from ci.report.tables import Format
from tests.unit.engine import engine_error
from tests.unit.node.test_check import SECRET, WORKER
from tests.unit.node.test_services import TAILSCALE, ZFS
from tests.unit.planning import builtin, plan_of, request, variant

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

    async def size(self) -> int:
        return len(self.files[self.below])

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

    checked: list[str] = []

    async def check_platform(extension: PlannedExtension, platform: str) -> None:
        assert platform == "linux/arm64"
        checked.append(extension.name)

    def image_of(extension: PlannedExtension, platform: str) -> Tree:
        assert platform == "linux/arm64"
        assert extension.name in checked
        return Tree(images.get(extension.name, {}))

    monkeypatch.setattr(pipeline, "check_platform", check_platform)
    monkeypatch.setattr(pipeline, "image_of", image_of)
    plan = await plan_of(wanted)
    await configure.check_services(plan, wanted.variant, pipeline.Pipeline(plan))


@pytest.mark.parametrize("name", ["spin-only", "spin-tailscale"])
async def test_the_projects_variants_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await check(name, monkeypatch)


async def test_a_variant_that_tells_its_nodes_nothing_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileError) as raised:
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
    with pytest.raises(FileError, match="service a waits for /usr/local/share/a"):
        await check(plain, monkeypatch, images)
    await check(plain, monkeypatch, images | {"drbd": {"rootfs/usr/local/share/a": ""}})


# The installer's content


REFERENCE = parse_reference("registry.example.com/talos/talos:spin-only-stable")
CHECKS = {
    "installer.architecture": ("pass", ["talos: linux/arm64"]),
    "extensions.planned": ("pass", ["initramfs: spin 0.22.0"]),
    "elf.machine": ("pass", ["812 programs"]),
}


def checked(**changed: tuple[str, list[str]]) -> str:
    rows = CHECKS | {name.replace("_", ".", 1): row for name, row in changed.items()}
    return json.dumps(
        {"checks": [{"id": name, "status": status, "evidence": lines} for name, (status, lines) in rows.items()]}
    )


@dataclass
class Image:
    """An image that is pulled, or can't be."""

    name: str
    error: Exception | None

    def as_folder(self) -> Image:
        return self

    async def entries(self) -> list[str]:
        if self.error:
            raise self.error
        return [self.name]


async def look(
    answer: str | Exception, monkeypatch: pytest.MonkeyPatch, *, pull: Exception | None = None
) -> tuple[str, ...]:
    async def subject(assets: object, image: str, file: object, arch: Arch) -> Image:
        assert (assets, image, file, arch) == (None, str(REFERENCE), None, Arch.ARM64)
        return Image(image, pull)

    async def verify(found: Image, expectation: Any, form: Any) -> str:
        assert (found.name, expectation.variant, form) == (str(REFERENCE), "spin-only", Format.JSON)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(configure.examine, "subject", subject)
    monkeypatch.setattr(configure.examine, "verify", verify)
    return await configure.check_image(REFERENCE, await plan_of(request("spin-only")))


async def test_an_installer_that_is_what_is_planned_is_described_and_raises_no_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await look(checked(), monkeypatch) == ()
    assert capsys.readouterr().err.splitlines() == [
        f"--installer: {REFERENCE} is what is planned:",
        "  talos: linux/arm64",
        "  initramfs: spin 0.22.0",
    ]


async def test_an_installer_that_is_something_else_is_refused_with_what_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = checked(extensions_planned=("fail", ["initramfs lacks spin", "initramfs holds tailscale, not planned"]))
    with pytest.raises(UserError) as raised:
        await look(AssetsError(answer), monkeypatch)
    assert str(raised.value).splitlines() == [
        f"--installer: {REFERENCE} is not what is planned for variant spin-only, Talos v1.13.6:",
        "- initramfs lacks spin",
        "- initramfs holds tailscale, not planned",
    ]


async def test_an_image_in_which_nothing_boots_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=f"^--installer: {REFERENCE} is not an installer that can be read: no"):
        await look(AssetsError("nothing here boots"), monkeypatch)


async def test_an_image_that_can_not_be_pulled_is_warned_of_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    question, unread = await look("", monkeypatch, pull=engine_error("dial tcp: no such host"))
    assert question.startswith(f"--installer: {REFERENCE} follows a channel")
    assert unread == (f"--installer: {REFERENCE} was not looked into, since it can't be pulled: dial tcp: no such host")


async def test_an_image_for_another_architecture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=f"^--installer: {REFERENCE} is not for arm64: .*no match for platform"):
        await look("", monkeypatch, pull=engine_error("no match for platform in manifest: not found"))


async def test_an_engine_that_fails_after_the_pull_is_not_taken_for_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(dagger.QueryError, match="no space left"):
        await look(engine_error("no space left on device"), monkeypatch)


async def test_without_a_reference_nothing_is_looked_into() -> None:
    assert await configure.check_image(None, await plan_of(request("spin-only"))) == ()


# Users' configurations


@dataclass
class Given:
    """A file that a user gives."""

    text: str

    async def name(self) -> str:
        return "worker.yaml"

    async def size(self) -> int:
        return len(self.text)

    async def contents(self) -> str:
        return self.text


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a\nb\x1b[2J.yaml", "name: [", "zfs:/usr/local/etc/containers/a\\nb\\x1b[2J.yaml:1: not YAML: "),
        (
            "a.yaml",
            "name: x\n" + "#" * (1 << 20),
            "zfs:/usr/local/etc/containers/a.yaml: 1048584 characters are too many",
        ),
    ],
)
async def test_a_hostile_service_file_is_refused_by_name(
    name: str, text: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileError) as raised:
        await check("spin-only", monkeypatch, {"zfs": {f"{SERVICES}/{name}": text}})
    assert str(raised.value).startswith(says)


async def test_a_configuration_of_300_mb_is_refused_before_it_is_read() -> None:
    class Huge(Given):
        async def size(self) -> int:
            return 300_000_000

        async def contents(self) -> str:
            raise AssertionError("it is read")

    huge = Huge("")
    with pytest.raises(FileError, match=r"worker\.yaml: 300000000 characters are too many for this file"):
        await configure.check_files([cast("dagger.File", huge)], cast("Subject", None))


async def check_of(text: str) -> str:
    plan = await plan_of(request("spin-only", outputs=("installer",)))
    subject = Subject(builtin("spin-only"), plan, (), ("spin-only", "spin-tailscale"))
    return await configure.check_files([cast("dagger.File", Given(text))], subject)


async def test_a_users_configuration_that_fits_is_said_to() -> None:
    assert await check_of(WORKER) == (
        "worker.yaml (worker):\n  ok       it has what a node of variant spin-only needs\n"
    )


async def test_a_users_configuration_with_a_problem_is_an_error_with_all_findings() -> None:
    with pytest.raises(UserError) as raised:
        await check_of(WORKER.replace("    - name: spl\n", ""))
    assert str(raised.value).splitlines() == [
        "--check: not what nodes of variant spin-only need:",
        "worker.yaml (worker):",
        "  problem  kernel module spl is not loaded: zfs is built on it",
    ]
    assert SECRET not in str(raised.value)
