"""Extensions in files: read through the engine, planned beside the variant's own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from ci.common.arch import Arch
from ci.common.errors import PlanError, UserError
from ci.execute import local
from ci.execute.local import read_local_images
from ci.execute.pipeline import Pipeline
from ci.plan.model import Plan
from ci.report.provenance import make_provenance
from ci.resolve.model import Dropped, DroppedBy, FileExtension, PlannedExtension, Source
from tests.unit.catalogs import digest
from tests.unit.engine import TRACE, engine_error
from tests.unit.planning import Registry, builtin, plan_of, request, variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import dagger

MANIFEST = "version: v1alpha1\nmetadata: {{name: {name}, version: '{version}', author: a, description: d}}\n"


@dataclass
class Archive:
    """A file that holds an image, or none; and the containers around it."""

    called: str
    platform_: str = "linux/arm64"
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    asked: str = ""

    async def name(self) -> str:
        return self.called

    def import_(self, archive: Archive) -> Archive:
        return Archive(archive.called, archive.platform_, archive.files)

    async def platform(self) -> str:
        if not self.platform_:
            raise engine_error(f"no such thing{TRACE}")
        return self.platform_

    def rootfs(self) -> Archive:
        return self

    def file(self, path: str) -> Archive:
        return Archive(self.called, files=self.files, asked=path)

    async def exists(self, path: str) -> bool:
        return path in self.files

    async def contents(self) -> str:
        return self.files[self.asked]

    def with_mounted_file(self, path: str, archive: Archive) -> Archive:
        assert path == "/archive"
        return archive

    def with_exec(self, command: list[str]) -> Archive:
        assert command == ["sha256sum", "/archive"]
        return self

    async def stdout(self) -> str:
        return f"{sum(self.called.encode()):064x}  /archive\n"

    def container(self, *, platform: str) -> Archive:
        assert platform == "linux/arm64"
        return self


def archive(called: str, *, name: str = "sensors", version: str = "1.0", platform: str = "linux/arm64") -> Archive:
    return Archive(called, platform, {"manifest.yaml": MANIFEST.format(name=name, version=version), "rootfs": ""})


class Layout:
    """A folder, and the image that would be read from its tar."""

    def __init__(self, image: Archive, *names: str, index: str = "") -> None:
        self.image = image
        self.names = names
        self.index = index or f'{{"manifests": [{{"digest": "{digest("1")}"}}]}}'

    def file(self, path: str) -> Layout:
        assert path == "index.json"
        return self

    async def size(self) -> int:
        return len(self.index)

    async def contents(self) -> str:
        return self.index

    async def entries(self) -> list[str]:
        return [*self.names]


async def read(
    monkeypatch: pytest.MonkeyPatch, *archives: Archive, layouts: Sequence[Layout] = ()
) -> tuple[local.LocalImage, ...]:
    monkeypatch.setattr(local, "dag", Archive("engine"))
    monkeypatch.setattr(local, "base", lambda: Archive("base"))
    monkeypatch.setattr(local, "_packed", lambda layout: layout.image)  # pyright: ignore
    given, folders = cast("Any", list(archives)), cast("Any", list(layouts))
    return await read_local_images(given, folders, Arch.ARM64)


async def test_files_are_read_in_the_order_given(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await read(monkeypatch, archive("b.tar", name="beta"), archive("a.tar", name="alpha", version="2"))
    assert [(one.extension.name, one.extension.version, one.extension.file) for one in found] == [
        ("beta", "1.0", "b.tar"),
        ("alpha", "2", "a.tar"),
    ]
    assert [one.extension.digest for one in found] == [
        f"sha256:{sum(name.encode()):064x}" for name in ("b.tar", "a.tar")
    ]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (Archive("text.tar", ""), UserError,
         ("text.tar: no image for linux/arm64 can be read from it; give an archive as `docker save`, `crane pull` or "
          "`skopeo copy … oci-archive:` write it. The engine says: no such thing")),
        (archive("amd.tar", platform="linux/amd64"), UserError,
         "amd.tar: the image is for linux/amd64; the build is for linux/arm64"),
        (Archive("debian.tar"), UserError,
         "debian.tar: no system extension: the image has no /manifest.yaml"),
        (Archive("bad.tar", files={"manifest.yaml": "version: v1alpha1\n", "rootfs": ""}), UserError,
         "bad.tar:/manifest.yaml: metadata: Field required"),
        (Archive("bare.tar", files={"manifest.yaml": MANIFEST}), UserError,
         "bare.tar: no system extension: the image has no /rootfs, the folder of its files"),
    ],
)  # fmt: skip
async def test_a_file_that_can_not_be_taken_is_refused_by_name(
    given: Archive, error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(error) as raised:
        await read(monkeypatch, archive("good.tar"), given)
    assert str(raised.value) == message


LAYOUT = ("blobs/", "index.json", "oci-layout")


async def test_folders_come_after_files_and_are_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Layout(archive("layout.tar", name="beta"), *LAYOUT)
    found = await read(monkeypatch, archive("a.tar", name="alpha"), layouts=[given])
    assert [(one.extension.name, one.extension.file) for one in found] == [("alpha", "a.tar"), ("beta", "layout-1")]


HOW = "give a folder as `crane pull --format oci` or `skopeo copy … oci:` write it"


@pytest.mark.parametrize(
    ("names", "image", "message"),
    [
        (["boot.md", "ci/"], archive("layout.tar"), f"with boot.md, ci/): no OCI layout: it has no index.json; {HOW}"),
        ([], archive("layout.tar"), f"empty): no OCI layout: it has no index.json; {HOW}"),
        (["a", "b", "c", "d", "e"], archive("layout.tar"),
         f"with a, b, c and 2 more): no OCI layout: it has no index.json; {HOW}"),
        (["a\nb\x1b[2J"], archive("layout.tar"),
         f"with a\\nb\\x1b[2J): no OCI layout: it has no index.json; {HOW}"),
        (["blobs/", "index.json"], archive("layout.tar"),
         f"image {digest('1')}): no OCI layout: it has no oci-layout; {HOW}"),
        (LAYOUT, Archive("layout.tar", ""),
         f"image {digest('1')}): no image for linux/arm64 can be read from it; {HOW}. The engine says: no such thing"),
        (LAYOUT, Archive("layout.tar"),
         f"image {digest('1')}): no system extension: the image has no /manifest.yaml"),
    ],
)  # fmt: skip
async def test_a_folder_that_can_not_be_taken_is_refused_by_flag_and_number(
    names: Sequence[str], image: Archive, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Layout(archive("layout.tar"), *LAYOUT)
    with pytest.raises(UserError) as raised:
        await read(monkeypatch, layouts=[good, Layout(image, *names)])
    assert str(raised.value) == f"--extension-layout, folder 2 of 2 ({message}"


@pytest.mark.parametrize(
    ("index", "seen"),
    [
        ('{"manifests": [{"digest": "sha256:1", "annotations": {"org.opencontainers.image.ref.name": "v1"}}]}',
         "image v1"),
        ('{"manifests": [{"annotations": {"io.containerd.image.name": "x:v1"}}]}',
         "image x:v1"),
        ('{"manifests": [{"digest": "a\\nb\\u001b[2J"}]}', "image a\\nb\\x1b[2J"),
        ('{"manifests": []}', "with blobs/, index.json, oci-layout"),
        ("[" * 100_000, "with blobs/, index.json, oci-layout"),
        ("x" * (2 << 20), "with blobs/, index.json, oci-layout"),
    ],
)  # fmt: skip
async def test_a_folder_is_called_by_what_is_known_of_it(
    index: str, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError) as raised:
        await read(monkeypatch, layouts=[Layout(Archive("layout.tar"), *LAYOUT, index=index)])
    assert str(raised.value).startswith(f"--extension-layout, folder 1 of 1 ({seen}): no system extension")


# The plan

SENSORS = FileExtension(name="sensors", version="1.0", file="sensors.tar", digest=digest("5"))
ZFS = FileExtension(name="zfs", version="2.5", file="zfs.tar", digest=digest("6"))
SPIN = FileExtension(name="spin", version="v9", file="spin.tar", digest=digest("7"))


async def planned(*files: FileExtension, which: Any = "spin-only", registry: Registry | None = None) -> Plan:
    return await plan_of(replace(request(which), files=files), registry)


def of(plan: Plan, name: str) -> PlannedExtension:
    (found,) = (entry for entry in plan.extensions if entry.name == name)
    return found


async def test_a_file_comes_after_the_variants_own() -> None:
    plan = await planned(SENSORS)
    assert [entry.name for entry in plan.extensions][-2:] == ["spin", "sensors"]
    assert of(plan, "sensors") == PlannedExtension(
        name="sensors",
        version="1.0",
        reference="file:sensors.tar",
        digest=digest("5"),
        source=Source.FILE,
        reason="given as a file",
    )
    assert Plan.parse(plan.to_yaml()) == plan


async def test_a_file_takes_the_place_of_its_namesake_in_cozystacks_set() -> None:
    plan = await planned(ZFS)
    without = await planned()
    assert [entry.name for entry in plan.extensions] == [entry.name for entry in without.extensions]
    assert of(plan, "zfs").pinned == f"file:zfs.tar@{digest('6')}"
    assert (
        Dropped(
            name="zfs",
            reference=of(without, "zfs").pinned,
            by=DroppedBy.VARIANT,
            reason=f"a file was given: file:zfs.tar@{digest('6')}",
        )
        in plan.dropped
    )


async def test_a_file_takes_the_place_of_what_the_variant_adds_and_the_catalog_is_not_asked() -> None:
    registry = Registry()
    plan = await planned(SPIN, registry=registry)
    assert (of(plan, "spin").version, of(plan, "spin").source) == ("v9", Source.FILE)
    assert plan.catalog is None
    assert [asked for asked in registry.asked if "/extensions:" in asked or "/spin" in asked] == []


async def test_two_files_of_one_extension_are_refused() -> None:
    with pytest.raises(PlanError) as raised:
        await planned(SENSORS, SENSORS.model_copy(update={"file": "other.tar"}))
    assert str(raised.value) == "other.tar: extension 'sensors' is given twice: leave out one of the files"


async def test_a_file_that_the_variant_must_not_have_is_refused() -> None:
    tailscale = FileExtension(name="tailscale", version="1", file="ts.tar", digest=digest("8"))
    with pytest.raises(PlanError) as raised:
        await planned(tailscale)
    assert str(raised.value) == (
        "ts.tar: extension 'tailscale' is given, but variant 'spin-only' must not have 'tailscale': give another "
        "variant or another file"
    )
    assert builtin("spin-only").spec.absent == ("tailscale",)
    assert of(await planned(tailscale, which=variant("")), "tailscale").version == "1"


async def test_the_pipeline_takes_a_files_tree_by_its_digest() -> None:
    plan = await planned(SENSORS)
    tree = cast("dagger.Directory", object())
    assert await Pipeline(plan, {digest("5"): tree}).root(of(plan, "sensors")) is tree


async def test_the_provenance_names_a_file_as_one() -> None:
    plan = await planned(FileExtension(name="a", version="1", file="my file.tar", digest=digest("9")))
    statement = cast("Any", make_provenance({}, plan))
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert dependencies[-1] == {
        "name": "extension a",
        "uri": "file:my%20file.tar",
        "digest": {"sha256": "9" * 64},
    }
