"""What is done around the imager's runs that use loop devices, and what is said where they fail."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any, cast

import dagger
import pytest

from ci.execute import imager, loop_devices
from ci.execute.loop_devices import IN_TURN, MKFS_VFAT
from ci.execute.privileges import unprivileged
from tests.unit.engine import engine_error, exec_error
from tests.unit.planning import plan_of, request

if TYPE_CHECKING:
    from pathlib import Path

#: In place of busybox: what changes the machine is written down, the rest is done by this machine's programs.
BUSYBOX = """\
#!/bin/sh
case "$1" in
    mknod | losetup) echo "$@" >>"${0%/*}/done" ;;
    which) command -v "$2" ;;
    *) exec "$@" ;;
esac
"""


class Machine:
    """A machine's /sys, /dev and the volume of turns below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.turns = folder / "turns"
        for path in (self.turns, folder / "dev", folder / "sys/block", folder / "sys/class/block", folder / "before"):
            path.mkdir(parents=True)
        self.program("busybox", BUSYBOX)

    def program(self, name: str, script: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
        return path

    def partition(self, name: str, number: str) -> None:
        folder = self.folder / "sys/class/block" / name
        folder.mkdir()
        (folder / "dev").write_text(f"{number}\n")

    def attach(self, name: str, file: str, number: int | None) -> None:
        loop = self.folder / "sys/block" / name
        (loop / "loop").mkdir(parents=True, exist_ok=True)
        (loop / "loop/backing_file").write_text(f"{file}\n")
        if number is not None:
            (loop / "diskseq").write_text(f"{number}\n")

    def script(self, name: str, text: str) -> Path:
        """Write one of our scripts with this machine's places in it, for this machine's shell."""
        text = text.replace("/before/busybox", str(self.folder / "busybox")).split("\n", 1)[1]
        for place in ("sys/block", "sys/class", "dev/"):
            text = text.replace(f"/{place}", f"{self.folder}/{place}")
        return self.program(name, "#!/bin/sh\n" + text.replace("/turns", str(self.turns)))

    def run(self, path: Path, *arguments: str, more: str = "") -> subprocess.CompletedProcess[str]:
        env = {"PATH": f"{path.parent}:{more}:/usr/bin:/bin"}
        return subprocess.run([path, *arguments], env=env, capture_output=True, text=True, check=False, timeout=60)

    @property
    def done(self) -> list[str]:
        done = self.folder / "done"
        return done.read_text().splitlines() if done.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_partitions_get_nodes_and_then_the_imagers_own_program_runs(machine: Machine) -> None:
    machine.partition("loop0p1", "259:3")
    machine.partition("loop12p2", "259:17")
    machine.partition("vda1", "254:1")
    machine.program("own/mkfs.vfat", 'echo own "$@"\nexit 4\n')
    done = machine.run(
        machine.script("before/mkfs.vfat", MKFS_VFAT), "-F", "32", "/dev/loop0p1", more=str(machine.folder / "own")
    )
    assert (done.stdout, done.returncode) == ("own -F 32 /dev/loop0p1\n", 4)
    dev = machine.folder / "dev"
    assert machine.done == [f"mknod -m 600 {dev}/loop0p1 b 259 3", f"mknod -m 600 {dev}/loop12p2 b 259 17"]


def test_it_does_not_find_itself_where_its_folder_is_twice_in_path(machine: Machine) -> None:
    machine.program("own/mkfs.vfat", "#!/bin/sh\necho own\n")
    path = machine.script("before/mkfs.vfat", MKFS_VFAT)
    done = machine.run(path, more=f"{path.parent}:{machine.folder / 'own'}")
    assert (done.stdout, done.returncode) == ("own\n", 0)


def test_an_imager_without_the_program_is_named(machine: Machine) -> None:
    path = machine.script("before/mkfs.vfat", MKFS_VFAT)
    env = {"PATH": f"{path.parent}:/nowhere"}
    path.write_text(path.read_text().replace(f"{machine.folder}/busybox which mkfs.vfat", "/bin/false"))
    done = subprocess.run([path], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (127, "the imager's image has no mkfs.vfat\n")


def in_turn(machine: Machine, imager: str) -> subprocess.CompletedProcess[str]:
    return machine.run(machine.script("in-turn", IN_TURN), str(machine.program("imager", "#!/bin/sh\n" + imager)), "-")


def test_the_imager_runs_as_it_is(machine: Machine) -> None:
    done = in_turn(machine, 'echo "out $*"; echo "Error: no such profile" >&2; exit 6\n')
    assert (done.stdout, done.stderr, done.returncode) == ("out -\n", "Error: no such profile\n", 6)
    assert machine.done == []
    assert list(machine.turns.iterdir()) == []


def test_what_the_imager_leaves_attached_is_detached(machine: Machine) -> None:
    machine.attach("loop0", "/home/somebody/other.raw", 1)
    machine.attach("loop1", "/out/metal-arm64.raw", 2)  # of another engine, since before
    again = machine.folder / "again"
    again.mkdir()
    attaching = f"mkdir -p {machine.folder}/sys/block/loop2/loop; cd {machine.folder}/sys/block/loop2\n"
    attaching += "echo /out/metal-arm64.raw >loop/backing_file; echo 7 >diskseq; exit 1\n"
    done = in_turn(machine, attaching)
    assert done.returncode == 1
    assert machine.done == [f"losetup -d {machine.folder}/dev/loop2"]
    assert done.stderr == f"detaching {machine.folder}/dev/loop2, which this run left attached\n"


@pytest.mark.parametrize("number", [7, None])
def test_what_a_killed_run_left_is_detached_by_the_next_one(machine: Machine, number: int | None) -> None:
    machine.attach("loop0", "/out/nocloud-amd64.raw", 1)
    imager = f"mkdir -p {machine.folder}/sys/block/loop2/loop; cd {machine.folder}/sys/block/loop2\n"
    imager += "echo '/out/metal-arm64.raw (deleted)' >loop/backing_file\n"
    imager += f"echo {number} >diskseq\n" if number else ""
    killed = in_turn(machine, imager + "kill -9 $PPID\n")
    assert killed.returncode == -9
    assert machine.done == []
    machine.attach("loop3", "/srv/backup.raw", 9)  # somebody's, in between
    done = in_turn(machine, f"cat {machine.folder}/done\n")
    detached = f"losetup -d {machine.folder}/dev/loop2"
    assert done.stdout == f"{detached}\n"  # before the imager looks for a free one
    assert set(machine.done) == {detached}
    assert "an interrupted run left attached" in done.stderr


def test_a_list_from_before_the_machine_started_anew_does_not_count(machine: Machine) -> None:
    (machine.turns / "another-boot").write_text("\n")
    machine.attach("loop1", "/out/metal-arm64.raw", 2)
    assert in_turn(machine, "exit 0\n").returncode == 0
    assert machine.done == []
    assert list(machine.turns.iterdir()) == []


@pytest.mark.parametrize("script", [MKFS_VFAT, IN_TURN])
def test_the_scripts_are_of_a_plain_shell(script: str, tmp_path: Path) -> None:
    shell = shutil.which("dash") or "/bin/sh"
    path = tmp_path / "script"
    path.write_text(script)
    assert subprocess.run([shell, "-n", path], check=False).returncode == 0


SAID = {
    "Error: failed to attach loopback device: could not open /dev/loop-control: no such file": "has no loop devices",
    "mkfs.vfat: unable to open /dev/loop0p1: No such file or directory": "did not appear in /sys/class/block",
    "failed to install bootloader: error mounting partitions: no such device": "has to know vfat",
    "failed to install: failed to create partitions: disk too small": "it does without. To do without: build",
}


@pytest.mark.parametrize("said", SAID)
async def test_a_failed_run_is_explained_by_what_it_said(said: str) -> None:
    plan = await plan_of(request(tag="v0.38.2", outputs=("metal.raw",)))
    (output,) = plan.outputs
    text = str(unprivileged(exec_error(["/bin/imager", "-"], 1, stderr=f"{said}\n"), output))
    assert text.startswith(f"metal.raw: the imager failed, with exit code 1: {said}\n")
    assert SAID[said] in text
    assert "leave metal.raw out" in text
    assert "): build" in text or ". To do without: build" in text
    assert [one for one in SAID.values() if one in text] == [SAID[said]]


async def test_other_outputs_errors_stay_as_they_are() -> None:
    plan = await plan_of(request(tag="v1.6.2", outputs=("metal.raw",)))
    (output,) = plan.outputs
    error = engine_error("security.insecure is not allowed")
    assert unprivileged(error, output) is error


class Recorder:
    """A container, or what makes one, that takes down what is done with it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **options: Any) -> Recorder:
            self.calls.append((name, given, options))
            return self

        return call

    async def entrypoint(self) -> list[str]:
        return ["/bin/imager"]

    def named(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(given, options) for found, given, options in self.calls if found == name]


async def test_the_imager_runs_in_turn_with_a_cache_that_one_run_has_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Recorder()
    monkeypatch.setattr(loop_devices, "dag", made)
    monkeypatch.setattr(imager, "dag", made)
    container = Recorder()
    await loop_devices.with_loop_devices(cast("dagger.Container", container))
    (entrypoint,) = container.named("with_entrypoint")
    assert entrypoint[0] == (["/before/in-turn", "/bin/imager"],)
    ((place, _), options) = container.named("with_mounted_cache")[0]
    assert (place, options) == ("/turns", {"sharing": dagger.CacheSharingMode.LOCKED})
    written = {given[0]: given[1] for given, _ in container.named("with_new_file")}
    assert written == {"/before/mkfs.vfat": MKFS_VFAT, "/before/in-turn": IN_TURN}
    # The same one for all runs of an engine, whatever they build.
    assert made.named("cache_volume") == [(("cozystack-talos-loop-devices",), {})]
