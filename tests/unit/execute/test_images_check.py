"""What an image that was just made has to be, and the lines that `test` prints of it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ci.common.arch import Arch
from ci.common.errors import UpstreamError
from ci.common.oci import MANIFEST
from ci.execute import images_check
from ci.plan.images import KINDS, image_spec
from ci.plan.outputs import NETBOOT
from ci.publish.client import Manifest
from ci.verify.checksums import render_checksums
from tests.unit.catalogs import digest
from tests.unit.planning import plan_of, request

HEX = "1" * 64


class Tree:
    """A folder of the engine's, of texts by path."""

    def __init__(self, texts: dict[str, str], path: str = "") -> None:
        self.texts, self.path = texts, path

    def file(self, path: str) -> Tree:
        return Tree(self.texts, path)

    async def contents(self) -> str:
        return self.texts[self.path]


@pytest.mark.parametrize(
    ("kind", "outputs", "files"),
    [
        ("installer", ("installer",), {}),
        (
            "assets",
            NETBOOT,
            dict.fromkeys(
                ["assets/boot/vmlinuz", "assets/boot/initramfs.xz", "assets/cmdline/cmdline-metal-arm64"], HEX
            ),
        ),
        (
            "matchbox",
            NETBOOT,
            dict.fromkeys([f"var/lib/matchbox/assets/{n}" for n in ("vmlinuz", "initramfs.xz")], HEX),
        ),
    ],
)
async def test_an_image_has_to_be_what_its_plan_and_its_build_say(
    kind: str, outputs: tuple[str, ...], files: dict[str, str]
) -> None:
    plan = await plan_of(request(outputs=outputs))
    listed = render_checksums({output.path: HEX for output in plan.outputs})
    assets = SimpleNamespace(plan=plan, folder=Tree({"checksums.sha256": listed}))
    index = json.dumps({"manifests": [{"digest": digest("a")}]})
    image = SimpleNamespace(spec=image_spec(plan, KINDS[kind]), layout=Tree({"index.json": index}))
    expected = await images_check.expected_of(cast("Any", image), KINDS[kind], cast("Any", assets))
    assert (expected.kind, expected.platform, expected.digest) == (kind, "linux/arm64", digest("a"))
    assert expected.labels == image.spec.labels
    assert expected.files == files


@pytest.mark.parametrize("status", ["pass", "fail"])
async def test_each_requirement_of_each_image_has_a_line(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    planned: list[list[str]] = []

    class Given:
        async def checkout(self) -> Any:
            return SimpleNamespace(upstream="upstream")

        async def plan(self, variant: str, outputs: Any) -> str:
            planned.append(list(outputs))
            return variant

    async def build(_inputs: object, plan: str) -> str:
        return plan

    async def make(kind: Any, assets: str, upstream: str) -> str:
        assert (assets, upstream) == ("spin-only", "upstream")
        return kind.name

    async def check(image: str, kind: Any, assets: str) -> list[dict[str, Any]]:
        assert image == kind.name
        return [{"id": "image.files", "sentence": "Files.", "status": status, "evidence": ["/x"]}]

    def possible(kind: Any, _: object) -> None:
        if kind.name == "matchbox":
            raise UpstreamError("images/matchbox", None, "no profiles")

    for name, fake in (
        ("build_assets", build),
        ("make_image", make),
        ("check_made", check),
        ("check_possible", possible),
    ):
        monkeypatch.setattr(images_check, name, fake)
    lines, passed = await images_check.image_lines(cast("Any", Given()), "spin-only")
    evidence = ["     /x"] if status == "fail" else []
    assert lines == [
        f"{status.upper()} spin-only installer image.files: Files.", *evidence,
        f"{status.upper()} spin-only assets image.files: Files.", *evidence,
        "SKIP spin-only matchbox image.files: images/matchbox: no profiles",
    ]  # fmt: skip
    assert passed is (status == "pass")
    assert planned == [["installer"], [*NETBOOT]]


def test_the_platforms_manifest_is_found_in_an_index() -> None:
    index = {
        "manifests": [
            {"digest": digest("a"), "platform": {"os": "unknown", "architecture": "unknown"}},
            {"digest": digest("b"), "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": digest("c"), "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        ]
    }
    assert images_check.of_platform(json.dumps(index).encode(), Arch.ARM64) == digest("c")
    for text in (b"{}", b"[]", b"a word", b'{"manifests": [1]}', b'{"manifests": []}'):
        assert images_check.of_platform(text, Arch.ARM64) is None


@pytest.mark.parametrize(
    "content", [b"no JSON", b"[]", b'{"annotations": {"a": [1]}}', b'{"annotations": "x"}', b"[" * 100_000, b"\xff"]
)
async def test_a_manifest_that_is_none_is_said_to_be_unknown(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hostile(images_check.Registry):
        async def manifest(self, repository: str, reference: str) -> Manifest | None:
            return Manifest(content, MANIFEST)

    monkeypatch.setattr(images_check, "Registry", Hostile)
    facts = await images_check.registry_facts("registry.example.com/a:b", "sha256:0", Arch.ARM64, None)
    assert facts.unknown == "what the registry gives as the manifest is not one"
