"""What is asked of the engine while a plan is made, and how its answers are read."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import dagger
import pytest

from ci.common import pins
from ci.common.arch import Arch
from ci.common.errors import BuildError, NotFoundInRegistryError, PlanError, UpstreamError, UserError, VariantError
from ci.common.references import PinnedImage
from ci.execute import load, pulling
from ci.execute.load import (
    EngineResolver,
    check_installer_base,
    check_pinned,
    load_catalog,
    load_checkout,
    load_variants,
    read_texts,
)
from ci.load.catalog import parse_catalog
from tests.unit.catalogs import CATALOG, DESCRIPTIONS, IMAGE_DIGESTS, digest
from tests.unit.engine import TRACE, Engine, engine_error
from tests.unit.planning import HEAD, Registry, upstream, variant

BASE = "ghcr.io/siderolabs/installer-base:v1.13.6"
OF_THE_ENGINE = ("ghcr.io/siderolabs/imager:v1.13.6", pins.PYTHON, pins.BUSYBOX)


@pytest.fixture
def resolver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> EngineResolver:
    """One that asks an engine with the images of the test's parameter."""
    monkeypatch.setattr(load, "dag", Engine(request.param))
    return EngineResolver(Arch.ARM64)


@pytest.mark.parametrize("resolver", [{(BASE, "linux/arm64"): digest("a")}], indirect=True)
async def test_a_tag_is_looked_up_for_the_nodes_architecture(resolver: EngineResolver) -> None:
    assert await resolver.resolve(BASE) == digest("a")


@pytest.mark.parametrize("resolver", [{(name, ""): digest("b") for name in OF_THE_ENGINE}], indirect=True)
@pytest.mark.parametrize("reference", OF_THE_ENGINE)
async def test_what_runs_is_looked_up_for_the_engines_own(resolver: EngineResolver, reference: str) -> None:
    assert await resolver.resolve(reference) == digest("b")


@pytest.mark.parametrize(
    "resolver",
    [
        {(BASE, "linux/arm64"): engine_error(text)}
        for text in (
            f"failed to resolve image {BASE}: {BASE}: not found{TRACE}",
            "GET https://ghcr.io/v2/siderolabs/installer-base/manifests/v1.13.6: MANIFEST_UNKNOWN: manifest unknown",
            "NAME_UNKNOWN: name unknown: repository name not known to registry",
        )
    ],
    indirect=True,
)
async def test_a_registry_that_has_no_such_image_says_so(resolver: EngineResolver) -> None:
    with pytest.raises(NotFoundInRegistryError, match=rf"^{BASE}: ") as raised:
        await resolver.resolve(BASE)
    assert "traceparent" not in str(raised.value)


@pytest.mark.parametrize(
    "resolver",
    [
        {(BASE, "linux/arm64"): engine_error(text)}
        for text in (
            "dial tcp 140.82.121.33:443: connect: connection refused",
            "unexpected status from HEAD request: 503 Service Unavailable",
            "lookup ghcr.io: no such host",
            "failed to authorize: 403 Forbidden",
        )
    ],
    indirect=True,
)
async def test_a_registry_that_gives_no_answer_is_not_one_without_the_image(resolver: EngineResolver) -> None:
    """Else a plan would silently fall back to another base image."""
    with pytest.raises(dagger.QueryError):
        await resolver.resolve(BASE)


@pytest.mark.parametrize(
    ("entrypoint", "starts"),
    [
        (["/usr/bin/imager"], "it starts /usr/bin/imager"),
        (["/sbin/init"], "it starts /sbin/init"),
        (["/bin/sh", "installer"], "it starts /bin/sh installer"),
        (["/bin/installer.old"], "it starts /bin/installer.old"),
        ([], "it has no entry point"),
    ],
)
async def test_a_base_installer_that_starts_no_installer_is_refused_with_the_reason(
    entrypoint: list[str], starts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = PinnedImage(reference="ghcr.io/siderolabs/imager:v1.13.6", digest=digest("c"))
    monkeypatch.setattr(load, "dag", Engine({}, entrypoints={base.pinned: entrypoint}))
    with pytest.raises(PlanError) as raised:
        await check_installer_base(base, Arch.ARM64)
    assert str(raised.value).startswith(f"{base.pinned} is no installer: {starts}, an installer starts /bin/installer.")


@pytest.mark.parametrize("entrypoint", [["/bin/installer"], ["/usr/bin/installer", "--x"]])
async def test_a_base_installer_is_one(entrypoint: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    base = PinnedImage(reference=BASE, digest=digest("c"))
    monkeypatch.setattr(load, "dag", Engine({}, entrypoints={base.pinned: entrypoint}))
    await check_installer_base(base, Arch.ARM64)


OWN = f"ghcr.io/me/mine:v1@{digest('9')}"
BOARD = f"ghcr.io/me/board:v1@{digest('8')}"
NAMED = f"extensions:\n  add:\n    - spin\n    - {OWN}\noverlay:\n  image: {BOARD}\n  name: rpi\n"


@pytest.mark.parametrize(("missing", "line"), [(OWN, 6), (BOARD, 8)], ids=["extension", "overlay"])
async def test_a_digest_of_a_variant_that_does_not_exist_is_noticed_at_the_plan(
    missing: str, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images: dict[tuple[str, str], str | Exception] = {(name, "linux/arm64"): digest("9") for name in (OWN, BOARD)}
    images[missing, "linux/arm64"] = engine_error(f"failed to resolve image {missing}: not found")
    monkeypatch.setattr(load, "dag", Engine(images))
    with pytest.raises(VariantError) as raised:
        await check_pinned(variant(NAMED), EngineResolver(Arch.ARM64))
    assert str(raised.value).startswith(f"variants/mine.yaml:{line}: there is no such image: {missing}: ")


async def test_digests_of_a_variant_that_exist_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "dag", Engine({(name, "linux/arm64"): digest("9") for name in (OWN, BOARD)}))
    await check_pinned(variant(NAMED), EngineResolver(Arch.ARM64))


async def test_an_image_of_another_architecture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    image = PinnedImage(reference="ghcr.io/me/mine:v1", digest=digest("c"))
    monkeypatch.setattr(pulling, "dag", Engine({}, {image.pinned: "linux/amd64"}))
    with pytest.raises(UserError) as raised:
        await pulling.pull(image, "linux/arm64")
    assert str(raised.value) == (
        f"{image.pinned} is an image for linux/amd64; the build is for linux/arm64. "
        "Take an image that has linux/arm64, or drop the extension in the variant"
    )


@pytest.mark.parametrize("said", ["linux/arm64", "linux/arm64/v8"])
async def test_an_image_of_the_architecture_is_taken(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = PinnedImage(reference="ghcr.io/me/mine:v1", digest=digest("c"))
    monkeypatch.setattr(pulling, "dag", Engine({}, {image.pinned: said}))
    assert cast("Any", await pulling.pull(image, "linux/arm64")).reference == image.pinned


class Catalogs:
    """An engine with one image of a catalog."""

    def __init__(self, files: dict[str, str]) -> None:
        self.root = Folder(**files)

    def container(self) -> Catalogs:
        return self

    def from_(self, _reference: str) -> Catalogs:
        return self

    def rootfs(self) -> Folder:
        return self.root


@pytest.mark.parametrize("descriptions", [{"descriptions.yaml": DESCRIPTIONS}, {}])
async def test_a_catalog_is_read_with_its_descriptions_or_without(
    monkeypatch: pytest.MonkeyPatch, descriptions: dict[str, str]
) -> None:
    engine = Catalogs({"image-digests": IMAGE_DIGESTS, "README.yaml": "more", **descriptions})
    monkeypatch.setattr(load, "dag", engine)
    catalog = await load_catalog(upstream("v1.6.2"), cast("EngineResolver", Registry()))
    assert catalog == (CATALOG if descriptions else parse_catalog(IMAGE_DIGESTS))
    assert set(engine.root.read) == {"image-digests", *descriptions}


class Folder:
    """A directory of the engine with some files."""

    def __init__(self, **files: str) -> None:
        self.files = {name.replace("__", "/").replace("_", "."): text for name, text in files.items()}
        self.read: list[str] = []

    async def glob(self, pattern: str) -> list[str]:
        ending = pattern.removeprefix("*")
        return ["sub/", *(name for name in self.files if name.endswith(ending) and "/" not in name)]

    async def entries(self) -> list[str]:
        return [*self.files]

    def file(self, path: str) -> Text:
        self.read.append(path)
        return Text(self.files[path])


@dataclass
class Text:
    """A file of the engine."""

    text: str
    claimed: int | None = None

    async def size(self) -> int:
        return len(self.text) if self.claimed is None else self.claimed

    async def contents(self) -> str:
        return self.text


def directory(folder: Folder) -> dagger.Directory:
    return cast("dagger.Directory", folder)


async def test_texts_are_read_of_the_files_that_fit() -> None:
    assert await read_texts(directory(Folder(b_yaml="2")), ("*.yaml",)) == {"b.yaml": "2"}


async def test_without_a_folder_there_are_the_built_in_variants() -> None:
    assert (await load_variants(None)).names == ("spin-only", "spin-tailscale")


async def test_ones_own_variants_come_beside_the_built_in_ones() -> None:
    variants = await load_variants(directory(Folder(edge_yaml=HEAD)))
    assert variants.names == ("edge", "spin-only", "spin-tailscale")
    assert variants.get("tailscale+spin").name == "spin-tailscale"


async def test_a_variant_file_of_300_megabytes_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: object) -> str:
        raise AssertionError("it was read")

    monkeypatch.setattr(Text, "contents", never)
    folder = Folder(edge_yaml=HEAD)

    def large(_: str) -> Text:
        return Text("", claimed=300 << 20)

    monkeypatch.setattr(folder, "file", large)
    with pytest.raises(VariantError, match=r"^edge\.yaml: 314572800 characters are too many for this file"):
        await load_variants(directory(folder))


async def test_a_folder_without_a_variant_is_refused() -> None:
    with pytest.raises(VariantError) as raised:
        await load_variants(directory(Folder(README_md="# no variant")))
    assert str(raised.value) == "--variants: no variant in this folder: add NAME.yaml"


async def test_a_checkout_and_a_release_together_are_refused() -> None:
    with pytest.raises(UpstreamError) as raised:
        await load_checkout(directory(Folder()), "v1.6.2")
    assert str(raised.value) == ("--upstream: a checkout and the release v1.6.2 are both given: leave out one of them")


@pytest.mark.parametrize("release", ["1.6.2", ""])
async def test_a_release_that_is_no_tag_is_refused_before_anything_is_asked(release: str) -> None:
    """There is no engine that could be asked."""
    with pytest.raises(UpstreamError) as raised:
        await load_checkout(None, release)
    assert str(raised.value) == f"--release: bad release {release!r}: write CozyStack's tag, such as v1.6.2"


class Repository:
    """A repository that answers nothing but an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def git(self, _url: str) -> Repository:
        return self

    def tag(self, _name: str) -> Repository:
        return self

    async def id(self) -> str:
        raise self._error


REPOSITORY = "https://example.com/cozystack"


async def test_an_unreadable_repository_is_named_with_what_was_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagger's engine says no more than this."""
    monkeypatch.setattr(load, "dag", Repository(engine_error(f"git error: exit status 128{TRACE}")))
    with pytest.raises(BuildError) as raised:
        await load_checkout(None, "v1.6.2", REPOSITORY)
    said = str(raised.value)
    assert said.startswith(f"can't read v1.6.2 from the git repository {REPOSITORY}: git error: exit status 128\n")
    assert "--upstream" in said


async def test_an_error_that_names_the_repository_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told = engine_error(f"can't read the git repository {REPOSITORY}: no route to host")
    monkeypatch.setattr(load, "dag", Repository(told))
    with pytest.raises(dagger.QueryError) as raised:
        await load_checkout(None, "v1.6.2", REPOSITORY)
    assert raised.value is told


async def test_every_image_of_a_tool_is_listed_by_the_digest_that_is_pinned() -> None:
    checkout = cast("Any", SimpleNamespace(upstream=SimpleNamespace(matchbox=None)))
    listed = {one.reference for one in await load.tool_images(checkout, cast("Any", Registry()))}
    assert {*pins.TOOLS, pins.MATCHBOX} <= listed
