"""Every function that takes a format gives what the format says."""

from __future__ import annotations

import inspect
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast, get_type_hints

import pytest
import yaml

from ci import args
from ci.execute import examine, reproduce
from ci.execute.inputs import Inputs
from ci.execute.pipeline import Pipeline
from ci.main import CozystackTalos
from ci.plan.outputs import Layout, parse_outputs
from ci.publish.publication import PublishedImage, PublishedPlatform, PublishedTag
from ci.report.pulled import Pulled
from tests.unit.catalogs import digest
from tests.unit.planning import plan_of, request
from tests.unit.verify.assets import files_of, good, write

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ci.execute.publish import Destination
    from ci.plan.model import Plan

#: Function → the arguments that it needs in addition to the format.
CALLS: dict[str, dict[str, Any]] = {
    "plan": {"variant": "spin-only"},
    "schematic": {"variant": "spin-only"},
    "publish": {"variant": "spin-only", "address": "127.0.0.1:5000/lab"},
    "inspect": {"assets": ...},
    "verify": {"assets": ...},
    "diff": {"before": ..., "after": ...},
    "reproduce": {"variant": "spin-only"},
}


#: Functions whose formats `tests/unit/workloads/test_functions.py` tests.
ELSEWHERE = ("workloads", "workloads_diff")


def with_format(of: object) -> list[str]:
    """The functions that take an argument `format` of this type."""
    found: list[str] = []
    for name, member in inspect.getmembers(CozystackTalos, inspect.isfunction):
        hints = get_type_hints(inspect.unwrap(member), include_extras=True)
        if hints.get("format_") == of:
            found.append(name)
    return found


def test_every_function_with_a_format_is_called_here() -> None:
    assert sorted(with_format(args.Format) + with_format(args.DiffFormat)) == sorted([*CALLS, *ELSEWHERE])
    assert with_format(args.DiffFormat) == ["diff", *ELSEWHERE]
    assert with_format(args.ImagesFormat) == ["images"]
    assert with_format(args.DiskFormat) == ["metal", "nocloud"]
    formats = [name for name, member in inspect.getmembers(CozystackTalos, inspect.isfunction)
               if "format_" in inspect.signature(member).parameters]  # fmt: skip
    assert sorted(formats) == sorted([*CALLS, *ELSEWHERE, "images", "metal", "nocloud"])


@dataclass
class Here:
    """A container whose programs run in this process, with what is mounted at its own place."""

    mounted: dict[str, str] = field(default_factory=dict[str, str])
    code: int = 0
    out: str = ""
    err: str = ""

    def with_mounted_directory(self, path: str, content: object, *, read_only: bool = True) -> Here:
        return Here(self.mounted | {path: str(content)})

    def with_exec(self, command: list[str], *, expect: object) -> Here:
        python, flag, program, *arguments = [self.mounted.get(word, word) for word in command]
        assert (python, flag) == ("python", "-m")
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = import_module(program).main(arguments)
        return Here(self.mounted, code, out.getvalue(), err.getvalue())

    async def exit_code(self) -> int:
        return self.code

    async def stdout(self) -> str:
        return self.out

    async def stderr(self) -> str:
        return self.err


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    write(folder, {path: data for path, data in files_of(good()).items() if path.startswith(("boot/", "cmdline/"))})
    return folder


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, assets: Path) -> Any:
    """The module, with plans and assets that are made without an engine."""

    async def plan(_self: object, variant: str, outputs: Iterable[str] | None = None, *_: object, **__: object) -> Plan:
        return await plan_of(request(variant, outputs=tuple(outputs or ("kernel",))))

    async def tools(_: str) -> Here:
        return Here()

    async def subject(*given: object, **_: object) -> examine.Subject:
        return examine.Subject("assets", cast("Any", assets))

    async def publish(*_: object) -> list[PublishedImage]:
        platform = PublishedPlatform(platform="linux/arm64", digest=digest("b"), plan="c" * 64, referrers=())
        tags = (PublishedTag(tag="spin-only-v1.13.6-v1.6.2", before=None),)
        return [PublishedImage(image="installer", repository="x/talos", digest=digest("a"), tags=tags,
                               platforms=(platform,))]  # fmt: skip

    async def nothing(*_: object, **__: object) -> dict[str, Any]:
        return {}

    async def checkout(*_: object) -> Any:
        return type("Checkout", (), {"upstream": None})

    async def images(*_: object) -> tuple[Pulled, ...]:
        return (Pulled(f"docker.io/library/python:3@{digest('e')}", "tools"),)

    async def destination(*_: object, **__: object) -> Destination:
        return cast("Destination", None)

    monkeypatch.setattr(Inputs, "plan", plan)
    monkeypatch.setattr(Inputs, "checkout", checkout)
    monkeypatch.setattr(Inputs, "local_images", nothing)
    monkeypatch.setattr("ci.execute.build.plan_images", nothing)
    monkeypatch.setattr(Pipeline, "__init__", lambda *_, **__: None)  # pyright: ignore
    monkeypatch.setattr(Pipeline, "made", nothing)
    monkeypatch.setattr(Pipeline, "folder", lambda *_: assets)  # pyright: ignore
    monkeypatch.setattr(examine, "tools", tools)
    monkeypatch.setattr(reproduce, "tools", tools)
    monkeypatch.setattr(examine, "subject", subject)
    monkeypatch.setattr(examine.Subject, "mounted", lambda _, to, path: to.with_mounted_directory(path, assets))  # pyright: ignore
    monkeypatch.setattr(examine.Subject, "as_folder", lambda _: assets)  # pyright: ignore
    monkeypatch.setattr("ci.execute.publish.publish", publish)
    monkeypatch.setattr("ci.execute.publish.parse_destination", destination)
    monkeypatch.setattr("ci.execute.load.tool_images", images)
    return CozystackTalos(
        upstream=None, release=None, variant_files=None, arch="arm64", source_date_epoch=None, extension_file=[],
        extension_layout=[], registry=None, registry_username=None, registry_password=None, secureboot_key=None,
        secureboot_cert=None, secureboot_pcr_key=None, secureboot_enrolment=None, disk_sector_size=None,
    )  # fmt: skip


async def said(module: Any, name: str, form: str) -> str:
    return await getattr(module, name)(**CALLS.get(name, {"variant": "spin-only"}), format_=form)


def json_of(text: str) -> Any:
    """The JSON document, `None` where the text is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_json_yaml_and_text_are_what_they_are_called(name: str, module: Any) -> None:
    text, as_json, as_yaml = [await said(module, name, form) for form in ("text", "json", "yaml")]
    assert isinstance(json_of(as_json), dict | list)
    assert json_of(as_yaml) is None  # JSON is YAML too, but nobody who asks for YAML wants it
    assert isinstance(yaml.safe_load(as_yaml), dict | list)
    assert text.strip()
    assert json_of(text) is None
    if name != "schematic":  # its YAML is the canonical form alone, of which JSON has the id as well
        assert yaml.safe_load(as_yaml) == json_of(as_json)


@pytest.mark.parametrize("name", [*sorted(CALLS), "images"])
async def test_another_format_is_refused_by_name(name: str, module: Any) -> None:
    with pytest.raises(Exception, match=r"^unknown format 'yml': "):
        await said(module, name, "yml")


async def test_images_are_a_reference_a_line_or_json(module: Any) -> None:
    text, as_json = [await said(module, "images", form) for form in ("text", "json")]
    assert text.splitlines() == [one["reference"] for one in json_of(as_json)]


@pytest.mark.parametrize("name", ["metal", "nocloud"])
@pytest.mark.parametrize("form", ["raw", "raw.xz", "raw.zst"])
async def test_a_disk_image_is_of_the_format_that_was_asked_for(
    name: str, form: str, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def output(_self: object, _variant: str, wanted: str) -> str:
        asked.append(wanted)
        return wanted

    monkeypatch.setattr("ci.execute.build.build_output", output)
    await getattr(module, name)("spin-only", format_=form)
    (planned,) = (await plan_of(request(outputs=tuple(asked)))).outputs
    assert planned.path.endswith(f".{form}")
    assert [one.compression for one in parse_outputs(asked, Layout.BOOT)] == [planned.compression]
