"""Command lines, whole; that the programs take them; and that a container has the modules which they need."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ci.common.arch import Arch
from ci.execute import commands
from ci.plan.outputs import Compression
from ci.steps import boot, compare, inspect, verify
from ci.steps.normalise import __main__ as normalise
from ci.steps.oci import __main__ as oci

TOP = Path(__file__).parents[3]


def test_pip_installs_what_a_file_names_in_the_versions_of_another() -> None:
    assert commands.pip_install("/etc/wanted.txt", "/etc/versions.txt") == [
        "python", "-m", "pip", "install", "--quiet", "--break-system-packages", "--ignore-installed",
        "--requirement", "/etc/wanted.txt", "--constraint", "/etc/versions.txt",
    ]  # fmt: skip


def test_pip_compiles_nothing_where_it_is_told_so() -> None:
    compiled = commands.pip_install("/wanted", "/versions")
    command = commands.pip_install("/wanted", "/versions", compiled=False)
    assert (set(command) - set(compiled), set(compiled) - set(command)) == ({"--no-compile"}, set())


def test_first_run_keeps_what_a_program_imports_compiled(tmp_path: Path) -> None:
    program, *words = commands.first_run("ci.steps.fill")
    words[words.index("python")] = sys.executable
    env = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    done = subprocess.run([program, *words], cwd=TOP, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:6]) == (0, "usage:")
    assert {"argparse", "gettext"} <= {path.name.partition(".")[0] for path in tmp_path.rglob("*.pyc")}


def test_pytest_runs_a_folder() -> None:
    assert commands.pytest("tests/unit") == [
        "python",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--quiet",
        "--numprocesses",
        "auto",
        "--dist",
        "worksteal",
        "tests/unit",
    ]


def test_tar_leaves_nothing_to_chance() -> None:
    assert commands.tar("/image", "/out/spin.tar", 1787125936) == [
        "tar", "--create", "--file=/out/spin.tar", "--directory=/image", "--sort=name", "--format=gnu",
        "--numeric-owner", "--owner=0", "--group=0", "--mtime=@1787125936", ".",
    ]  # fmt: skip


def test_a_file_is_summed() -> None:
    assert commands.sha256("/archive") == ["sha256sum", "/archive"]


def test_the_checkout_is_described() -> None:
    assert commands.describe_commit("/checkout") == ["python", "-m", "ci.steps.commit", "/checkout"]


def test_extensions_are_checked_in_one_call() -> None:
    assert commands.check_extensions(["/in/a.tar", "/in/b.tar"], "v1.13.6", Arch.ARM64) == [
        "python", "-m", "ci.steps.verify", "extensions", "--talos", "v1.13.6", "--arch", "arm64",
        "/in/a.tar", "/in/b.tar",
    ]  # fmt: skip


def test_assets_are_sealed_with_expectation_and_plan() -> None:
    assert commands.seal("/assets", "/in/expected.json", "/in/plan.json") == [
        "python", "-m", "ci.steps.verify", "seal",
        "--assets", "/assets", "--expect", "/in/expected.json", "--plan", "/in/plan.json",
    ]  # fmt: skip


@pytest.mark.parametrize("expected", [None, "/in/expected.json"])
def test_assets_are_checked_with_or_without_an_expectation(expected: str | None) -> None:
    assert commands.verify("/in/assets", expected, "json") == [
        "python", "-m", "ci.steps.verify", "check", "--assets", "/in/assets",
        *(["--expect", "/in/expected.json"] if expected else []), "--format", "json",
    ]  # fmt: skip


def test_a_file_is_shown_under_its_name() -> None:
    assert commands.inspect("/in/it", "ghcr.io/a/b:c", "yaml") == [
        "python", "-m", "ci.steps.inspect", "show", "/in/it", "--name", "ghcr.io/a/b:c", "--format", "yaml",
    ]  # fmt: skip
    assert commands.inspect("/in/it", "a", "text", whole=True)[-1] == "--all"


@pytest.mark.parametrize("fail", [False, True])
def test_two_are_compared_under_their_names(fail: bool) -> None:
    assert commands.diff("/in/a", "/in/b", ("old", "new"), "text", fail_on_change=fail) == [
        "python", "-m", "ci.steps.inspect", "diff", "/in/a", "/in/b", "--names", "old", "new", "--format", "text",
        *(["--fail-on-change"] if fail else []),
    ]  # fmt: skip


def test_two_builds_are_compared_byte_by_byte() -> None:
    assert commands.compare("/one", "/other", "text") == [
        "python", "-m", "ci.steps.compare", "/one", "/other", "--format", "text",
    ]  # fmt: skip


def test_an_initramfs_gets_its_times() -> None:
    assert commands.normalise_initramfs("/in/a", "/out/a", 7) == [
        "python", "-m", "ci.steps.normalise", "initramfs", "/in/a", "/out/a", "--epoch", "7",
    ]  # fmt: skip


def test_an_initramfs_is_put_together_from_several() -> None:
    runs = [((0,), "/in/runs/0/a"), ((1, 10), "/in/runs/1/a")]
    assert commands.assemble_initramfs("/in/base", "/out/a", 7, runs) == [
        "python", "-m", "ci.steps.normalise", "assemble", "/in/base", "/out/a", "--epoch", "7",
        "--run", "0=/in/runs/0/a", "--run", "1,10=/in/runs/1/a",
    ]  # fmt: skip


def test_an_installer_gets_its_times() -> None:
    assert commands.normalise_installer("/in/a.tar", "/out/a.tar", 7) == [
        "python", "-m", "ci.steps.normalise", "installer", "/in/a.tar", "/out/a.tar", "--epoch", "7",
    ]  # fmt: skip


def test_the_base_installer_is_unpacked_for_an_architecture() -> None:
    assert commands.unpack_base_installer("/in/base.tar", "/out/base", Arch.AMD64) == [
        "python", "-m", "ci.steps.normalise", "base-installer", "/in/base.tar", "/out/base", "--arch", "amd64",
    ]  # fmt: skip


@pytest.mark.parametrize(("compression", "word"), [(Compression.XZ, "xz"), (Compression.ZSTD, "zst")])
def test_a_disk_image_is_packed(compression: Compression, word: str) -> None:
    assert commands.pack("/in/metal.raw", "/out/metal.raw.x", compression) == [
        "python", "-m", "ci.steps.normalise", "pack", "/in/metal.raw", "/out/metal.raw.x", "--format", word,
    ]  # fmt: skip


def test_an_image_is_made_of_a_base_and_a_folder() -> None:
    make = ["python", "-m", "ci.steps.oci", "/in/spec.json", "/out/layout"]
    assert commands.make_image("/in/spec.json", "/out/layout") == make
    assert commands.make_image("/in/spec.json", "/out/layout", base="/in/base.tar", root="/in/root") == [
        *make, "--base", "/in/base.tar", "--root", "/in/root",
    ]  # fmt: skip


def test_debian_packages_are_installed_without_what_only_flash_chips_need(tmp_path: Path) -> None:
    command = commands.apt_install(["qemu-system-arm", "ipxe"])
    assert (command[:2], command[3:]) == (["sh", "-ec"], ["apt-install", "qemu-system-arm", "ipxe"])
    # What the shell makes of it, with an apt that only says what it was told.
    (tmp_path / "apt-get").write_text('#!/bin/sh\nprintf "%s|" "$@"\necho\n')
    (tmp_path / "rm").write_text("#!/bin/sh\n")
    for program in tmp_path.iterdir():
        program.chmod(0o755)
    told = subprocess.run(
        command, env={"PATH": f"{tmp_path}:/bin:/usr/bin"}, capture_output=True, text=True, check=True
    )
    update, install = told.stdout.splitlines()
    assert update == "-qq|update|"
    assert install.split("|") == [
        *("-qq", "install", "--yes", "--no-install-recommends", "-o"),
        *("Dpkg::Options::=--path-exclude=/usr/share/AAVMF/*", "qemu-system-arm", "ipxe", ""),
    ]


@pytest.mark.parametrize("kvm", [False, True])
def test_assets_are_booted(kvm: bool) -> None:
    assert commands.boot("/in/boot.json", "/assets", "/out", kvm=kvm) == [
        "python", "-m", "ci.steps.boot", "run", "--request", "/in/boot.json", "--assets", "/assets", "--out", "/out",
        *(["--kvm"] if kvm else []),
    ]  # fmt: skip


MAINS = {
    "ci.steps.boot": boot.main,
    "ci.steps.compare": compare.main,
    "ci.steps.inspect": inspect.main,
    "ci.steps.normalise": normalise.main,
    "ci.steps.oci": oci.main,
    "ci.steps.verify": verify.main,
}
OF_OURS = (
    commands.boot("/no/boot.json", "/no/assets", "/no/out", kvm=True),
    commands.check_extensions(["/no/a.tar"], "v1.13.6", Arch.ARM64),
    commands.seal("/no/assets", "/no/expected.json", "/no/plan.json"),
    commands.verify("/no/assets", None, "yaml"),
    commands.verify("/no/assets", "/no/expected.json", "text"),
    commands.inspect("/no/a", "a", "json", whole=True),
    commands.diff("/no/a", "/no/b", ("/no/1", "/no/2"), "text", fail_on_change=True),
    commands.compare("/no/a", "/no/b", "json"),
    commands.normalise_initramfs("/no/a", "/no/b", 7),
    commands.assemble_initramfs("/no/a", "/no/b", 7, [((0,), "/no/c")]),
    commands.normalise_installer("/no/a", "/no/b", 7),
    commands.unpack_base_installer("/no/a", "/no/b", Arch.ARM64),
    commands.pack("/no/a", "/no/b", Compression.ZSTD),
    commands.make_image("/no/spec.json", "/no/out", base="/no/base.tar", root="/no/root"),
)


@pytest.mark.parametrize("command", OF_OURS, ids=lambda command: " ".join(command[2:4]))
def test_the_programs_take_their_command_lines(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _, _, program, *arguments = command
    # A flag that does not exist would be argparse's exit; these complain of the file that is not there.
    assert MAINS[program](arguments) in (1, 2)
    said = capsys.readouterr()
    assert re.search(r"/no/|^error: a: no such file", said.err + said.out)


def test_gnu_tar_writes_the_same_bytes_for_the_same_files(tmp_path: Path) -> None:
    for name, order in (("one", "ab"), ("two", "ba")):
        folder = tmp_path / name / "rootfs"
        folder.mkdir(parents=True)
        for file in order:
            (folder / file).write_text(file)
    tars = [tmp_path / f"{name}.tar" for name in ("one", "two")]
    for tar in tars:
        subprocess.run(commands.tar(str(tmp_path / tar.stem), str(tar), 7), check=True)
    assert tars[0].read_bytes() == tars[1].read_bytes()
    with tarfile.open(tars[0]) as read:
        found = {member.name: (member.uid, member.gid, member.mtime) for member in read}
    assert found == dict.fromkeys([".", "./rootfs", "./rootfs/a", "./rootfs/b"], (0, 0, 7))


def imported(module: str) -> set[Path]:
    """The files of `ci` that a module needs when it runs, those imported inside functions included."""
    found: set[Path] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        for path in (TOP / Path(*name.split(".")) / "__init__.py", TOP / Path(*name.split(".")).with_suffix(".py")):
            if path.is_file() and path not in found:
                found.add(path)
                todo += _names(ast.parse(path.read_text()))
        parent = name.rpartition(".")[0]
        todo += [parent] if parent else []
    return found


def _names(tree: ast.AST) -> list[str]:
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        return []
    if isinstance(tree, ast.Import):
        return [alias.name for alias in tree.names]
    if isinstance(tree, ast.ImportFrom):
        assert tree.module
        return [tree.module, *(f"{tree.module}.{alias.name}" for alias in tree.names)]
    return [name for child in ast.iter_child_nodes(tree) for name in _names(child)]


@pytest.mark.parametrize("module", commands.NEEDED)
def test_a_container_has_what_a_command_imports_and_nothing_else(module: str) -> None:
    package = TOP / Path(*module.split("."))
    needed = imported(f"{module}.__main__" if package.is_dir() else module)
    inside = [path.relative_to(TOP / "ci").parts for path in needed]
    # Rooms go whole; of the programs each one alone.
    assert {"/".join(parts[: 2 if parts[0] == "steps" else 1]) for parts in inside} == set(commands.NEEDED[module])


@pytest.mark.parametrize("module", commands.NEEDED)
def test_a_command_starts_with_only_what_it_needs_and_without_the_sdk(module: str, tmp_path: Path) -> None:
    (tmp_path / "ci").mkdir()
    for name in commands.NEEDED[module]:
        source = TOP / "ci" / name
        (tmp_path / "ci" / name).parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / "ci" / name)
    script = f"""
import runpy, sys
sys.modules["dagger"] = None
sys.path.insert(0, {str(tmp_path)!r})
sys.argv = ["x", "--help"]
try:
    runpy.run_module({module!r}, run_name="__main__")
except SystemExit:
    pass
ours = [module for name, module in sys.modules.items() if name.split(".")[0] == "ci"]
print("from", {{module.__file__.split("/ci/")[0] for module in ours}})
"""
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.splitlines()[-1] == f"from { ({str(tmp_path)}) }"
