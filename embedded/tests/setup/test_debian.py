"""Programs from Debian packages, with an apt-get that hands out a package made here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from embedded.setup import debian
from embedded.setup.errors import SetupError
from embedded.setup.paths import paths, tool
from embedded.setup.programs import PROGRAMS, Program
from embedded.setup.steps import ensure
from embedded.tests.setup.support import Notes

LIBRARIES = "usr/lib/x86_64-linux-gnu"

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="Debian's dpkg-deb makes the packages")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Program]:
    """A machine without any of the programs; the table is the test's own."""
    rows: dict[str, Program] = {}
    for place in ("embedded.setup.debian", "embedded.setup.paths"):
        monkeypatch.setattr(f"{place}.PROGRAMS", rows)
        monkeypatch.setattr(f"{place}.machine_program", lambda _: None)
    return rows


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that `install`s by copying `debs/NAME.deb`, and notes how it was called."""
    folder = tmp_path / "apt"
    (folder / "debs").mkdir(parents=True)
    (folder / "bin").mkdir()
    script = folder / "bin/apt-get"
    script.write_text(
        f"""#!/bin/sh
echo "$*" >>{folder}/calls
cp "$3" {folder}/config
archives=$(sed -n 's/^Dir::Cache "\\(.*\\)";/\\1/p' "$3")/archives
case $4 in
update) exit 100 ;;
install) shift 6; for name; do cp {folder}/debs/$name.deb "$archives/" || exit 100; done ;;
esac
"""
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    return folder


def _package(apt: Path, name: str, **files: str) -> None:
    tree = apt / "trees" / name
    for path, text in (
        {"DEBIAN/control": f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: x\n"} | files
    ).items():
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    (tree / "DEBIAN").chmod(0o755)
    done = subprocess.run(["dpkg-deb", "-b", tree, apt / f"debs/{name}.deb"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def _provide(notes: Notes, *groups: str) -> None:
    step = debian.packages_step(groups or ("engine",))  # type: ignore[arg-type]
    assert step
    ensure(step, notes)


def test_a_program_finds_its_libraries_where_it_is_unpacked(
    machine: dict[str, Program], apt: Path, notes: Notes
) -> None:
    machine["hello"] = Program(
        "hello",
        "/usr/sbin/hello",
        arguments=("multi",),
        environment=(("DATA", "{root}/share"), ("X", "{libraries}/x")),
    )
    script = '#!/bin/sh\necho "$* $LD_LIBRARY_PATH $DATA $X"\n'
    _package(apt, "hello", **{"usr/sbin/hello": script, f"{LIBRARIES}/libhello.so": ""})
    _provide(notes)
    root = paths().packages
    said = subprocess.run([tool("hello"), "a b"], capture_output=True, text=True, check=True).stdout
    assert said == f"multi a b {root}/{LIBRARIES} {root}/share {root}/{LIBRARIES}/x\n"


def test_programs_of_a_cache_that_was_moved_use_nothing_of_the_old_place(
    machine: dict[str, Program], apt: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine["hello"] = Program("hello", "/usr/sbin/hello", environment=(("DATA", "{root}/share"),))
    machine["bare"] = Program("bare", "/usr/sbin/bare", bare=True)
    _package(apt, "hello", **{"usr/sbin/hello": '#!/bin/sh\necho "$LD_LIBRARY_PATH $DATA"\n', f"{LIBRARIES}/l.so": ""})
    _package(apt, "bare", **{"usr/sbin/bare": "#!/bin/sh\necho bare\n"})
    _provide(notes)
    moved = tmp_path / 'an $other "home"'
    (tmp_path / "cache").rename(moved)
    monkeypatch.setenv("XDG_CACHE_HOME", str(moved))
    paths.cache_clear()
    _provide(notes)
    root = paths().packages
    assert root.is_relative_to(moved)
    assert len(notes.steps) == 1, "what was moved is whole: nothing is made anew"
    said = [subprocess.run([tool(name)], capture_output=True, text=True, check=True).stdout for name in machine]
    assert said == [f"{root}/{LIBRARIES} {root}/share\n", "bare\n"]
    link = tmp_path / "link"
    link.symlink_to(tool("hello"))
    assert str(root) in subprocess.run([link], capture_output=True, text=True, check=True).stdout


def test_a_program_without_needs_is_started_as_it_is(machine: dict[str, Program], apt: Path, notes: Notes) -> None:
    machine["bare"] = Program("bare", "/usr/sbin/bare", bare=True)
    _package(apt, "bare", **{"usr/sbin/bare": "#!/bin/sh\necho $0\n"})
    _provide(notes)
    assert tool("bare").resolve() == paths().packages / "usr/sbin/bare"


def test_plugins_stay_off_the_path(machine: dict[str, Program], apt: Path, notes: Notes) -> None:
    machine["bridge"] = Program("plugins", "/usr/lib/cni/bridge", beside=("loopback",), bare=True)
    _package(apt, "plugins", **{"usr/lib/cni/bridge": "", "usr/lib/cni/loopback": ""})
    _provide(notes)
    assert tool("bridge") == paths().packages / "usr/lib/cni/bridge"
    assert not (paths().packages / "bin").exists()


@pytest.mark.parametrize(("works", "used"), [("0", "first"), ("1", "second")])
def test_the_other_form_is_used_where_the_first_does_not_work(
    machine: dict[str, Program], apt: Path, notes: Notes, works: str, used: str
) -> None:
    machine["tables"] = Program("tables", "/usr/sbin/first", fallback="/usr/sbin/second", probe=("-S",))
    _package(
        apt,
        "tables",
        **{"usr/sbin/first": f"#!/bin/sh\necho first\nexit {works}\n", "usr/sbin/second": "#!/bin/sh\necho second\n"},
    )
    _provide(notes)
    assert subprocess.run([tool("tables")], capture_output=True, text=True, check=False).stdout.strip() == used


def test_the_machine_is_left_as_it_is(machine: dict[str, Program], apt: Path, notes: Notes, cache: Path) -> None:
    machine["bare"] = Program("bare", "/usr/sbin/bare", bare=True)
    _package(apt, "bare", **{"usr/sbin/bare": ""})
    _provide(notes)
    config = (apt / "config").read_text()
    folders = [line for line in config.splitlines() if line.startswith(("Dir::State ", "Dir::Cache ", "Dir::Log "))]
    assert len(folders) == 3
    assert all(f'"{cache}/' in line for line in folders)
    assert "#clear APT::Update::Post-Invoke;" in config
    assert all("--download-only" in line for line in (apt / "calls").read_text().splitlines() if " install " in line)
    assert not (paths().packages / ".apt").exists()


def test_the_lab_adds_to_what_the_engine_has(machine: dict[str, Program], apt: Path, notes: Notes) -> None:
    machine["one"] = Program("one", "/usr/bin/one", bare=True)
    machine["two"] = Program("two", "/usr/bin/two", "lab", bare=True)
    for name in machine:
        _package(apt, name, **{f"usr/bin/{name}": ""})
    _provide(notes, "engine")
    assert not (paths().packages / "bin/two").exists()
    _provide(notes, "engine", "lab")
    _provide(notes, "engine")
    assert tool("one").exists()
    assert tool("two").exists()
    assert len(notes.steps) == 2


def test_a_machine_with_all_programs_needs_no_step(
    machine: dict[str, Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine["one"] = Program("one", "/usr/bin/one")
    monkeypatch.setattr(debian, "machine_program", lambda _: Path("/usr/bin/one"))
    assert debian.packages_step(["engine"]) is None


def test_a_machine_without_apt_is_told_what_to_install(
    machine: dict[str, Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.update({name: PROGRAMS[name] for name in ("runc", "iptables", "ip6tables")})
    monkeypatch.setattr(debian, "available", lambda: False)
    with pytest.raises(SetupError) as caught:
        debian.packages_step(["engine"])
    assert caught.value.message == "this machine lacks runc, iptables, ip6tables, and it has no apt to get them with"
    assert "(Debian calls the packages iptables, runc)" in caught.value.hint


def test_a_package_that_cannot_be_had_is_told_with_its_log(
    machine: dict[str, Program], apt: Path, notes: Notes
) -> None:
    machine["gone"] = Program("gone", "/usr/bin/gone")
    with pytest.raises(SetupError, match="apt-get failed with exit code 100") as caught:
        _provide(notes)
    assert caught.value.log
    assert "gone.deb" in caught.value.tail
    assert caught.value.hint == "or install them yourself: apt-get install gone"


def test_a_package_without_its_program_is_told(machine: dict[str, Program], apt: Path, notes: Notes) -> None:
    machine["moved"] = Program("moved", "/usr/bin/moved")
    _package(apt, "moved", **{"usr/bin/elsewhere": ""})
    with pytest.raises(SetupError, match="the Debian package moved does not hold /usr/bin/moved"):
        _provide(notes)
