"""The functions, with a container that runs the program in this very process, and a folder on this machine."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, cast

import dagger
import pytest
import yaml

from ci.common.errors import AssetsError, BuildError, FileError, OutputError, UpstreamError, UserError
from ci.execute import workloads as execute
from ci.main import CozystackTalos
from ci.steps import workloads as program
from tests.unit.workloads.five import CILIUM, KILO, KUBEOVN, REDIS, SHADOWBOX, checkout

if TYPE_CHECKING:
    from pathlib import Path

UPSTREAM = cast("dagger.Directory", object())


class Container:
    """Runs `ci.steps.workloads` on the folders that were mounted into it."""

    def __init__(self) -> None:
        self.mounted: dict[str, Path] = {}
        self.code = 0
        self.out = self.err = ""

    def with_mounted_directory(self, path: str, folder: Any, *, read_only: bool) -> Container:
        assert read_only
        self.mounted[path] = folder
        return self

    def with_exec(self, command: list[str], *, expect: dagger.ReturnType) -> Container:
        assert expect is dagger.ReturnType.ANY
        assert command[:3] == ["python", "-m", "ci.steps.workloads"]
        words = [str(self.mounted.get(word, word)) for word in command[3:]]
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            self.code = program.main(words)
        self.out, self.err = out.getvalue(), err.getvalue()
        return self

    async def exit_code(self) -> int:
        return self.code

    async def stdout(self) -> str:
        return self.out

    async def stderr(self) -> str:
        return self.err


class File:
    def __init__(self, text: str) -> None:
        self.text = text

    async def size(self) -> int:
        return len(self.text)

    async def contents(self) -> str:
        return self.text


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    async def tools(module: str) -> Container:
        assert module == "ci.steps.workloads"
        return Container()

    monkeypatch.setattr(execute, "tools", tools)


def folder(top: Path, files: dict[str, str]) -> Any:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


@pytest.fixture
def upstream(tmp_path: Path) -> Any:
    return folder(tmp_path / "checkout", checkout())


def offline(*, lacking: tuple[str, ...] = (KUBEOVN,)) -> Any:
    """Recorded answers by hand: an index of both architectures for each image, but for those that lack one."""
    digests: dict[str, str] = {}
    manifests: dict[str, Any] = {}
    for number, reference in enumerate((KILO, KUBEOVN, CILIUM, SHADOWBOX, REDIS)):
        names = ["linux/amd64"] if reference in lacking else ["linux/amd64", "linux/arm64"]
        digests[reference] = f"sha256:{number:064x}"
        platforms = [{"name": name, "digest": f"sha256:{len(name):x}{number:063x}"} for name in names]
        manifests[digests[reference]] = {"index": True, "platforms": platforms}
    return File(json.dumps({"format": 1, "digests": digests, "manifests": manifests}))


MODULE = CozystackTalos(upstream=None)


async def test_a_checkout_and_recorded_answers_make_the_report(upstream: Any) -> None:
    text = await MODULE.workloads(upstream, offline=offline())
    assert text.startswith("the checkout given as --upstream, on arm64 nodes\n")
    assert "isp-full   partly\n    system/kubeovn (through networking): kubeovn:v1.15.10\n" in text
    other = await MODULE.workloads(upstream, offline=offline(), arch="amd64")
    assert "on amd64 nodes" in other
    assert "partly" not in other


async def test_the_report_as_json_can_be_given_again(upstream: Any) -> None:
    document = await MODULE.workloads(upstream, offline=offline(), format_="json")
    assert await MODULE.workloads(upstream, offline=cast("Any", File(document)), format_="json") == document


async def test_only_what_belongs_to_a_bundle(upstream: Any) -> None:
    document = json.loads(await MODULE.workloads(upstream, offline=offline(), bundle=["isp-full"], format_="json"))
    assert [package["name"] for package in document["verdict"]["packages"]] == [
        *("system/cilium", "system/kilo", "system/kubeovn"),
    ]
    with pytest.raises(UserError, match=r"unknown bundle 'isp': did you mean isp-full\? choose one of isp-full$"):
        await MODULE.workloads(upstream, offline=offline(), bundle=["isp"])
    with pytest.raises(UserError, match=r"--bundle names none: choose one of isp-full$"):
        await MODULE.workloads(upstream, offline=offline(), bundle=[" "])


async def test_patches_for_mixed_clusters(upstream: Any) -> None:
    (entry,) = yaml.safe_load(await MODULE.workloads(upstream, offline=offline(), node_selectors=True))
    assert (entry["package"], entry["images"]) == ("system/kubeovn", [KUBEOVN])


async def test_what_helm_made_is_taken_too(upstream: Any, tmp_path: Path) -> None:
    printed = "# Source: cozy-kilo/templates/d.yaml\nkind: DaemonSet\nspec:\n  image: " + CILIUM + "\n"
    rendered = folder(tmp_path / "rendered", {"system/kilo.yaml": printed})
    document = json.loads(await MODULE.workloads(upstream, offline=offline(), rendered=rendered, format_="json"))
    (kilo,) = [package for package in document["verdict"]["packages"] if package["name"] == "system/kilo"]
    assert [(image["reference"], image["runs"]) for image in kilo["images"]] == [(KILO, False), (CILIUM, True)]


async def test_two_checkouts_are_compared(upstream: Any, tmp_path: Path) -> None:
    files = {name: text.replace(KUBEOVN, KILO) for name, text in checkout().items()}
    older = folder(tmp_path / "older", files)
    text = await MODULE.workloads_diff(upstream, older, offline=offline())
    assert "system/kubeovn" in text
    with pytest.raises(AssetsError, match="system/kubeovn"):
        await MODULE.workloads_diff(upstream, older, offline=offline(), fail_on_loss=True)
    same = await MODULE.workloads_diff(upstream, upstream, offline=offline(), fail_on_loss=True)
    assert "Nothing gained or lost arm64." in same


async def test_what_is_no_checkout_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"^--upstream: no packages"):
        await MODULE.workloads(cast("Any", tmp_path), offline=offline())


async def test_wrong_arguments_are_refused_before_anything_is_read() -> None:
    with pytest.raises(OutputError, match="unknown format"):
        await MODULE.workloads(UPSTREAM, format_="pdf")
    with pytest.raises(UserError, match="unknown architecture"):
        await MODULE.workloads(UPSTREAM, arch="riscv")
    with pytest.raises(UpstreamError, match="both given"):
        await MODULE.workloads(UPSTREAM, release="v1.6.2")
    with pytest.raises(UpstreamError, match="bad release"):
        await MODULE.workloads(None, release="1.6.2")
    with pytest.raises(UserError, match="nothing to compare with"):
        await MODULE.workloads_diff(UPSTREAM, None)
    with pytest.raises(FileError, match="not JSON"):
        await MODULE.workloads(UPSTREAM, offline=cast("Any", File("no")))


async def test_saving_is_answered_with_the_way_to_do_it() -> None:
    with pytest.raises(UserError, match=r"--save a\.json: .*write `--format json -o a\.json`.*`--offline a\.json`"):
        await MODULE.workloads(UPSTREAM, save="a.json")


async def test_the_modules_own_upstream_has_no_packages() -> None:
    with pytest.raises(UserError, match="--upstream belongs behind this function"):
        await CozystackTalos(upstream=UPSTREAM).workloads(None, offline=offline())


class Repository:
    """CozyStack's repository, of which only the tags are asked for."""

    async def tags(self, *, patterns: list[str]) -> list[str]:
        assert patterns == ["v*"]
        return ["v1.5.4", "v1.6.2", "v1.7.0", "v1.8.0-rc.1"]


class Dag:
    def git(self, url: str) -> Repository:
        assert url == "https://github.com/cozystack/cozystack"
        return Repository()


@pytest.mark.parametrize(
    ("release", "pinned", "tag"),
    [
        (None, None, "v1.6.2"),
        (None, "v1.5.4", "v1.5.4"),
        ("pinned", "v1.5.4", "v1.5.4"),
        ("v1.0.8", "v1.5.4", "v1.0.8"),
        ("newest", None, "v1.7.0"),
        ("newest", "v1.7.0", "v1.7.0"),
    ],
)
async def test_a_release_by_its_tag_or_by_a_word(
    release: str | None, pinned: str | None, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "dag", Dag())
    assert await execute.release_tag(release, pinned) == tag
