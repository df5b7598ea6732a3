"""An installer archive made at any time is the same file, and holds the same image."""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from ci.inspect.inspect import inspect_path
from ci.inspect.models import ImageFacts
from ci.steps.normalise.__main__ import main
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File, Image
from tests.unit.steps.normalise.running import EPOCH, EPOCH_TEXT, files_in, refusal, run_in_two_places

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = [
    [File("usr/"), File("usr/bin/"), File("usr/bin/installer", samples.elf(), 0o755), File("bin", target="usr/bin")],
    [File("usr/install/arm64/systemd-boot.efi", samples.boot_loader(), 0)],
]


@dataclass
class Installer(Image):
    """The image as the imager makes it, at some moment."""

    def config(self, plain: list[bytes]) -> bytes:
        config = json.loads(super().config(plain))
        # The configuration of the real one has a history, and words from the base that mean nothing here.
        config["history"] = [{"created": "0001-01-01T00:00:00Z"}, {"created": self.created, "comment": "<ü>"}, {}]
        config["config"]["ExposedPorts"] = {"50000/tcp": {}}
        return json.dumps(config).encode()


def build(created: str) -> bytes:
    return Installer(LAYERS, created=created).archive()


def normalise(tmp_path: Path, data: bytes) -> Path:
    path, out = tmp_path / "installer.tar", tmp_path / "out.tar"
    path.write_bytes(data)
    assert main(["installer", str(path), str(out), f"--epoch={EPOCH}"]) == 0
    return out


def members(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(path, "r:") as archive:
        found: list[tuple[tarfile.TarInfo, bytes]] = []
        for info in archive:
            file = archive.extractfile(info)
            assert file is not None
            found.append((info, file.read()))
        return found


def facts_of(path: Path) -> ImageFacts:
    facts = inspect_path(path).facts
    assert isinstance(facts, ImageFacts)
    return facts


def test_two_builds_give_one_file_wherever_and_whenever_they_run(tmp_path: Path) -> None:
    for name, created in (("a", "2026-11-23T04:18:53.759009729Z"), ("b", "2026-11-23T06:02:00.1Z")):
        (tmp_path / name).write_bytes(build(created))
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()
    os.utime(tmp_path / "b", (1, 1))
    run_in_two_places(*(["installer", f"{tmp_path}/{n}", f"{tmp_path}/out-{n}", f"--epoch={EPOCH}"] for n in "ab"))
    assert (tmp_path / "out-a").read_bytes() == (tmp_path / "out-b").read_bytes()


def test_the_image_is_the_one_that_went_in_but_for_its_date(tmp_path: Path) -> None:
    out = normalise(tmp_path, build("2026-11-23T04:18:53.759009729Z"))
    before, after = facts_of(tmp_path / "installer.tar"), facts_of(out)
    assert after.created == EPOCH_TEXT
    digest = after.config_sha256
    assert digest != before.config_sha256
    assert after.claimed == {f"sha256:{digest}": digest, **{layer.blob: layer.sha256 for layer in before.layers}}
    changed = {"created": before.created, "config_sha256": before.config_sha256, "claimed": before.claimed}
    assert after.model_copy(update=changed) == before


def test_dates_of_the_history_change_where_there_are_some(tmp_path: Path) -> None:
    out = members(normalise(tmp_path, build("2026-11-23T04:18:53Z")))
    old, new = json.loads(members(tmp_path / "installer.tar")[0][1]), json.loads(out[0][1])
    assert new["history"] == [{"created": EPOCH_TEXT}, {"created": EPOCH_TEXT, "comment": "<ü>"}, {}]
    assert {**new, "created": 0, "history": 0} == {**old, "created": 0, "history": 0}


def test_the_manifest_names_the_new_configuration_and_keeps_the_rest(tmp_path: Path) -> None:
    out = members(normalise(tmp_path, build("2026-11-23T04:18:53Z")))
    old, new = json.loads(members(tmp_path / "installer.tar")[-1][1]), json.loads(out[-1][1])
    assert new == [{**old[0], "Config": f"sha256:{samples.sha(out[0][1])}"}]
    assert old[0]["RepoTags"] == ["ghcr.io/siderolabs/installer-base:v1.13.6"]


def test_members_keep_their_order_and_lose_owner_and_time(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        (tmp_path / "plain").write_bytes(build("2026-11-23T04:18:53Z"))
        for number, (info, data) in enumerate(members(tmp_path / "plain")):
            info.uid, info.gid, info.uname, info.gname, info.mtime = 1000, 1000, "me", "us", 1_795_000_000.5 + number
            tar.addfile(info, io.BytesIO(data))
    out = members(normalise(tmp_path, archive.getvalue()))
    config = samples.sha(out[0][1])
    names = [info.name for info, _ in members(tmp_path / "plain")]
    assert [info.name for info, _ in out] == [f"sha256:{config}", *names[1:]]
    assert names[-1] == "manifest.json"
    for info, _ in out:
        owner = (info.uid, info.gid, info.uname, info.gname)
        assert (owner, info.mtime, info.mode, info.pax_headers) == ((0, 0, "", ""), EPOCH, 0o644, {})


def test_a_configuration_named_as_docker_does_is_named_so_again(tmp_path: Path) -> None:
    config = b'{"architecture":"arm64","os":"linux"}'
    name = f"{samples.sha(config)}.json"
    manifest = json.dumps([{"Config": name, "Layers": []}]).encode()
    out = members(normalise(tmp_path, samples.tar([File(name, config), File("manifest.json", manifest)])))
    assert out[0][0].name == f"{samples.sha(out[0][1])}.json"
    assert json.loads(out[0][1])["created"] == EPOCH_TEXT


CONFIG = b'{"created":"2026-11-23T04:18:53Z"}'
NAME = f"sha256:{samples.sha(CONFIG)}"


def archive_of(manifest: Any, *more: File) -> bytes:
    return samples.tar([*more, File("manifest.json", json.dumps(manifest).encode())])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no tar at all" * 100, "tar header"),
        (samples.gz(build("2026-11-23T04:18:53Z")), "tar header"),
        (samples.tar([File("index.json", b"{}")]), "no manifest.json: not a docker archive"),
        (archive_of([]), "holds 0 images, one is expected"),
        (archive_of([{"Config": NAME, "Layers": []}] * 2, File(NAME, CONFIG)), "holds 2 images, one is expected"),
        (archive_of({"Config": NAME}), "manifest.json: document: Input should be a valid list"),
        (archive_of([{"RepoTags": None}]), "manifest.json: 0.Config: Field required"),
        (archive_of([{"Config": NAME, "Layers": []}]), f"{NAME}: the image names this file, which is not there"),
        (
            archive_of([{"Config": "c.json", "Layers": []}], File("c.json", CONFIG)),
            f"has the digest {samples.sha(CONFIG)}",
        ),
        (archive_of([{"Config": NAME, "Layers": []}], File(NAME, b"{}")), "its bytes have another digest"),
        (archive_of([{"Config": NAME, "Layers": []}], File(NAME, CONFIG), File("l", target=NAME)), "'l' is a symlink"),
        (archive_of([{"Config": NAME, "Layers": []}], File(NAME, CONFIG), File(NAME, CONFIG)), "is there twice"),
        (archive_of([{"Config": "../x", "Layers": []}], File("../x", CONFIG)), "a name that leads out of the archive"),
        (
            archive_of(
                [{"Config": f"sha256:{samples.sha(b'[1]')}", "Layers": []}],
                File(f"sha256:{samples.sha(b'[1]')}", b"[1]"),
            ),
            "document: Input should be",
        ),
    ],
)
def test_what_is_no_installer_archive_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, reason: str
) -> None:
    path = tmp_path / "installer.tar"
    path.write_bytes(data)
    said = refusal(capsys, "installer", path, tmp_path / "out", "--epoch", EPOCH)
    assert said.startswith(f"error: {path}")
    assert reason in said
    assert files_in(tmp_path) == ["installer.tar"]
