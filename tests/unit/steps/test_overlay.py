"""What a board's overlay has to have left in assets, by what its own installer says and does."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ci.common.errors import BuildError
from ci.plan.expectation import BootCode, Expectation, ExpectedOverlay
from ci.steps.overlay import describe, main
from ci.verify.verify import verify
from tests.unit.inspect import sample_media, samples
from tests.unit.inspect.samples import File, sha
from tests.unit.verify.assets import finished, good, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: As the boards' own: boot code at 32 KiB, a device tree and settings beside it.
PROGRAM = """\
#!/usr/bin/env python3
import pathlib, sys, yaml
given = yaml.safe_load(sys.stdin)
if sys.argv[1] == "get-options":
    print(yaml.safe_dump({"name": "rock", "kernelArgs": ["console=tty0", "console=ttyS2,1500000n8", "board=1"]}))
else:
    artifacts = pathlib.Path(given["artifactsPath"])
    with open(given["installDisk"], "r+b") as disk:
        disk.seek(512 * 64)
        disk.write((artifacts / "arm64/u-boot/rock/u-boot-rockchip.bin").read_bytes())
    target = pathlib.Path(given["mountPrefix"]) / "boot/EFI"
    (target / "dtb/rockchip").mkdir(parents=True)
    (target / "dtb/rockchip/rock.dtb").write_bytes((artifacts / "arm64/dtb/rock.dtb").read_bytes())
    (target / "config.txt").write_text(given.get("extraOptions", {}).get("configTxt", "own"))
"""
UBOOT = b"U-Boot" * 3000
TREE = bytes.fromhex("d00dfeed") + b"rock"


def overlay(root: Path, program: str = PROGRAM) -> Path:
    write(root, {"artifacts/arm64/u-boot/rock/u-boot-rockchip.bin": UBOOT, "artifacts/arm64/dtb/rock.dtb": TREE})
    write(root, {"installers/rock": program.encode()})
    (root / "installers/rock").chmod(0o755)
    return root


EXPECTED = ExpectedOverlay(
    name="rock",
    kernel_args=("console=tty0", "console=ttyS2,1500000n8", "board=1"),
    files={"config.txt": sha(b"a=1"), "dtb/rockchip/rock.dtb": sha(TREE)},
    boot_code=(BootCode(offset=32768, size=len(UBOOT), sha256=sha(UBOOT)),),
    artifacts={"arm64/dtb/rock.dtb": sha(TREE), "arm64/u-boot/rock/u-boot-rockchip.bin": sha(UBOOT)},
    installer=sha(PROGRAM.encode()),
)


def test_the_overlays_own_installer_shows_what_it_leaves(tmp_path: Path) -> None:
    root = overlay(tmp_path / "overlay")
    assert describe(root, root, "rock", {"configTxt": "a=1"}) == EXPECTED
    assert describe(root, root, "rock", {}).files["config.txt"] == sha(b"own")


def test_the_command_writes_it(tmp_path: Path) -> None:
    root = overlay(tmp_path / "overlay")
    (tmp_path / "options.yaml").write_text("configTxt: a=1\n")
    words = ["--host", root, "--nodes", root, "--name", "rock", "--options", tmp_path / "options.yaml"]
    assert main([str(word) for word in [*words, "--output", tmp_path / "out.json"]]) == 0
    assert ExpectedOverlay.model_validate_json((tmp_path / "out.json").read_text()) == EXPECTED


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("#!/bin/sh\necho no board >&2\nexit 3\n", "rock get-options failed, with exit code 3: no board"),
        ("no program", "rock get-options: "),
        ("#!/bin/sh\necho '\033]0;x\007' >&2; printf '\377' >&2; exit 3\n", "with exit code 3: \\x1b]0;x\\x07"),
        ("#!/bin/sh\necho 'kernelArgs: [*x]'\n", "rock get-options answers:1: not YAML"),
        ("#!/bin/sh\nyes '[' | head -n 10000\n", "rock get-options answers:31: nested deeper"),
        ("#!/bin/sh\necho 'kernelArgs: x'\n", "rock get-options answers with kernelArgs that is no list"),
        ("#!/bin/sh\necho 'kernelArgs: [\"a\\\\nb\"]'\n", "with a kernel argument that is not a plain word: 'a\\nb'"),
        ("#!/bin/sh\n[ $1 = get-options ]\n", "rock install failed, with exit code 1"),
    ],
)
def test_an_installer_that_fails_is_an_error_that_names_it(
    tmp_path: Path, program: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = overlay(tmp_path / "overlay", program)
    with pytest.raises(BuildError, match=re.escape(message)):
        describe(root, root, "rock", {})
    (tmp_path / "options.yaml").write_text("{}")
    words = ["--host", root, "--nodes", root, "--name", "rock", "--options", tmp_path / "options.yaml"]
    assert main([str(word) for word in [*words, "--output", tmp_path / "out.json"]]) == 2
    assert capsys.readouterr().err.startswith("error: the overlay's installer rock ")


# Assets


LINE = f"{samples.CMDLINE} console=ttyS2,1500000n8 board=1"


def disk(
    files: dict[str, bytes] | None = None, code: bytes = UBOOT, offset: int = 32768, line: str = LINE
) -> dict[str, bytes]:
    spec = finished(good())
    uki = samples.uki(spec.kernel, spec.initramfs, cmdline=line)
    given = {"dtb/rockchip/rock.dtb": TREE, "CONFIG.TXT": b"a=1"} if files is None else files
    esp = [File(path, data) for path, data in given.items()]
    esp += [File("EFI/boot/BOOTAA64.efi", spec.loader), File("EFI/Linux/Talos.efi", uki)]
    partitions = [(sample_media.ESP, "EFI", sample_media.fat(esp, 12)), (sample_media.LINUX, "META", bytes(1 << 20))]
    image = bytearray(sample_media.gpt(partitions))
    image[offset : offset + len(code)] = code
    return {"metal-arm64.raw.zst": samples.zstd(bytes(image))}


def installer(change: Callable[[dict[str, File]], Any] = lambda _: None) -> dict[str, bytes]:
    spec = finished(good())
    uki = samples.uki(spec.kernel, spec.initramfs, cmdline=LINE)
    image = samples.installer(uki, spec.loader, spec.arch, spec.talos)
    files = {
        file.path: file
        for file in (
            File("overlay/installers/default", PROGRAM.encode(), 0o755),
            File("overlay/extra-options", b"configTxt: a=1\n"),
            File("overlay/artifacts/arm64/dtb/rock.dtb", TREE),
            File("overlay/artifacts/arm64/u-boot/rock/u-boot-rockchip.bin", UBOOT),
        )
    }
    change(files)
    layers = [*image.layers, list(files.values())]
    return {"installer-arm64.tar": replace(image, layers=layers).archive()}


def failures(root: Path, **changed: Any) -> dict[str, tuple[str, ...]]:
    expected = Expectation(arch="arm64", overlay=EXPECTED).model_copy(update=changed)
    return {check.id: check.evidence for check in verify(root, expected).failures}


@pytest.mark.parametrize("files", [disk(), installer()], ids=["disk", "installer"])
def test_what_an_overlay_leaves_is_there(tmp_path: Path, files: dict[str, bytes]) -> None:
    write(tmp_path, files)
    assert failures(tmp_path) == {}


@pytest.mark.parametrize(
    ("files", "check", "evidence"),
    [
        (disk({"dtb/rockchip/rock.dtb": TREE}), "overlay.files", "the EFI system partition lacks /config.txt"),
        (disk({}), "overlay.files", "the EFI system partition lacks /dtb/rockchip/rock.dtb of the overlay"),
        (
            disk({"dtb/rockchip/rock.dtb": TREE[:-1], "config.txt": b"a=1"}),
            "overlay.files",
            "/dtb/rockchip/rock.dtb of the EFI system partition is not the overlay's",
        ),
        (disk(code=b""), "overlay.boot-code", "nothing is at byte 32768, where rock has 18000 bytes of boot code"),
        (disk(code=UBOOT[:-1]), "overlay.boot-code", "other bytes are at byte 32768"),
        (disk(offset=65536), "overlay.boot-code", "nothing is at byte 32768"),
        (disk(line=samples.CMDLINE), "overlay.arguments", ".cmdline lacks board=1 of rock"),
        (installer(lambda files: files.clear()), "overlay.installer", "lacks /overlay/installers/default"),
        (
            installer(lambda files: files.pop("overlay/extra-options")),
            "overlay.installer",
            "lacks /overlay/extra-options",
        ),
        (
            installer(lambda files: files.pop("overlay/artifacts/arm64/dtb/rock.dtb")),
            "overlay.installer",
            "lacks /overlay/artifacts/arm64/dtb/rock.dtb",
        ),
        (
            installer(lambda files: files.update(a=File("overlay/installers/default", b"x", 0o755))),
            "overlay.installer",
            "/overlay/installers/default is not the overlay's",
        ),
        (
            installer(lambda files: files.update(a=File("overlay/installers/default", PROGRAM.encode(), 0o644))),
            "overlay.installer",
            "/overlay/installers/default has the mode 0644: no program",
        ),
    ],
)
def test_what_an_overlay_leaves_is_missed(tmp_path: Path, files: dict[str, bytes], check: str, evidence: str) -> None:
    write(tmp_path, files)
    found = failures(tmp_path)
    assert list(found) == [check]
    assert any(evidence in line for line in found[check]), found[check]


def test_arguments_that_the_variant_takes_away_or_replaces_are_not_the_boards(tmp_path: Path) -> None:
    write(tmp_path, disk(line="talos.platform=metal console=ttyS9"))
    assert list(failures(tmp_path)) == ["overlay.arguments"]
    assert failures(tmp_path, kernel_args=("console=ttyS9",), removed_args=("board",)) == {}


def test_an_overlay_that_is_not_planned_is_not_looked_for(tmp_path: Path) -> None:
    write(tmp_path, disk({}, b"", line=samples.CMDLINE))
    checks = {check.id: check for check in verify(tmp_path, Expectation(arch="arm64")).checks}
    assert {checks[name].evidence for name in ("overlay.files", "overlay.boot-code", "overlay.arguments")} == {
        ("the plan has no overlay",)
    }


def test_an_expectation_with_an_overlay_goes_through_json() -> None:
    expected = Expectation(overlay=EXPECTED)
    assert Expectation.model_validate(json.loads(expected.model_dump_json())) == expected
