from __future__ import annotations

import ast
import errno
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from embedded.lab.builder import Builder, NoProgress
from embedded.lab.errors import LabError
from embedded.lab.oci import Platform
from embedded.lab.recipe import Bench, Recipe, Step, Value, meaning
from embedded.lab.tree import Tree


class Kitchen:
    """Recipes that record when they are made."""

    def __init__(self, lab: Path) -> None:
        self.lab = lab
        self.made: list[str] = []
        self.recipes: dict[str, Recipe] = {}
        self.texts: dict[str, str] = {}

    def part(self, name: str, *needs: str, make: Callable[[Bench], Value] | None = None) -> None:
        """A part whose result is its text and those of its needs."""

        def standard(bench: Bench) -> Value:
            self.made.append(name)
            text = self.texts.get(name, name) + "".join(str(bench.need(need).value["text"]) for need in needs)
            (bench.out / "text").write_text(text)
            return {"text": text}

        self.recipes[name] = Recipe(name, make or standard, needs)

    def image(self, name: str, *needs: str) -> None:
        def make(bench: Bench) -> Value:
            self.made.append(name)
            tree = Tree()
            for need in needs:
                tree.text(need, str(bench.need(need).value["text"]))
            with tempfile.TemporaryFile() as file:
                tree.write(file)
                file.seek(0)
                layer = bench.blobs.put_layer(file)
            return bench.image(bench.blobs.put_image([Platform("amd64", [layer])], description=name))

        self.recipes[name] = Recipe(name, make, needs)

    def builder(self) -> Builder:
        return Builder(self.lab, self.recipes, "part/tools")

    def build(self, *names: str) -> list[str]:
        self.made.clear()
        self.builder().build(names or self.recipes, NoProgress())
        return list(self.made)


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    kitchen = Kitchen(tmp_path / "lab")
    kitchen.part("part/a")
    kitchen.part("part/b", "part/a")
    kitchen.part("part/c")
    kitchen.image("x/one:1", "part/b")
    kitchen.image("x/two:1", "part/c")
    return kitchen


def test_needs_are_made_first_and_once(kitchen: Kitchen) -> None:
    made = kitchen.build()
    assert sorted(made) == ["part/a", "part/b", "part/c", "x/one:1", "x/two:1"]
    assert made.index("part/a") < made.index("part/b") < made.index("x/one:1")


def test_only_what_was_asked_for_and_its_needs_is_made(kitchen: Kitchen) -> None:
    assert kitchen.build("x/two:1") == ["part/c", "x/two:1"]


def test_nothing_is_made_twice(kitchen: Kitchen) -> None:
    kitchen.build()
    assert kitchen.build() == []
    results = kitchen.builder().results(kitchen.recipes)
    assert results is not None
    assert results["part/b"].value["text"] == "part/bpart/a"


def test_removed_stamp_makes_that_recipe_alone_when_it_comes_out_the_same(kitchen: Kitchen) -> None:
    kitchen.build()
    kitchen.builder().stamp("part/a").unlink()
    assert kitchen.build() == ["part/a"]


def test_changed_part_makes_what_depends_on_it_and_no_more(kitchen: Kitchen) -> None:
    kitchen.build()
    kitchen.texts["part/a"] = "changed"
    kitchen.builder().stamp("part/a").unlink()
    assert kitchen.build() == ["part/a", "part/b", "x/one:1"]


def test_removed_blob_makes_its_image_again(kitchen: Kitchen) -> None:
    kitchen.build()
    results = kitchen.builder().results(["x/two:1"])
    assert results is not None
    kitchen.builder().blobs.path(results["x/two:1"].value["image"]["digest"]).unlink()
    assert kitchen.build() == ["x/two:1"]


def test_blobs_of_a_former_result_go_and_shared_ones_stay(kitchen: Kitchen) -> None:
    kitchen.image("x/like-one:1", "part/b")
    kitchen.build()
    before = {path.name for path in (kitchen.lab / "registry/sha256").iterdir()}
    kitchen.texts["part/c"] = "changed"
    kitchen.builder().stamp("part/c").unlink()
    kitchen.build()
    after = {path.name for path in (kitchen.lab / "registry/sha256").iterdir()}
    assert len(after) == len(before)
    assert len(after - before) == len(before - after) == 4  # layer, config, manifest, index of x/two


def test_failure_keeps_what_is_done(kitchen: Kitchen) -> None:
    def fail(bench: Bench) -> Value:
        bench.run("sh", "-c", "echo no such package; exit 3")
        return {}

    kitchen.part("part/fails", "part/a", make=fail)
    with pytest.raises(LabError, match="cannot make part/fails: sh ended with 3") as raised:
        kitchen.build("part/fails")
    assert raised.value.tail == "no such package"
    assert raised.value.log == kitchen.builder().log("part/fails")
    del kitchen.recipes["part/fails"]
    assert "part/a" not in kitchen.build()
    assert list((kitchen.lab / "registry").glob("new-*")) == []


def test_failure_ends_the_programs_that_run_beside_it(kitchen: Kitchen) -> None:
    started = threading.Event()

    def slow(bench: Bench) -> Value:
        started.set()
        bench.run("sleep", "60")
        return {}

    def fail(_: Bench) -> Value:
        started.wait(10)
        time.sleep(0.1)
        raise LabError("out of luck")

    kitchen.part("part/slow", make=slow)
    kitchen.part("part/fails", make=fail)
    began = time.monotonic()
    with pytest.raises(LabError, match="out of luck"):
        kitchen.build("part/slow", "part/fails")
    assert time.monotonic() - began < 5


def test_interrupted_build_ends_at_once_and_says_so(kitchen: Kitchen) -> None:
    started = threading.Event()

    def slow(bench: Bench) -> Value:
        started.set()
        bench.run("unshare", "--pid", "--fork", "--kill-child", "sh", "-c", f"echo $$ > {bench.lab}/pid; sleep 61")
        return {}

    kitchen.part("part/slow", "part/a", make=slow)
    builder, raised = kitchen.builder(), list[LabError]()

    def build() -> None:
        try:
            builder.build(["part/slow"], NoProgress())
        except LabError as error:
            raised.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    assert started.wait(10)
    while not (kitchen.lab / "pid").exists():
        time.sleep(0.01)
    began = time.monotonic()
    builder.stop()
    thread.join(10)
    assert time.monotonic() - began < 2
    assert [error.message for error in raised] == [
        "the lab's build was interrupted: the next one goes on where it stopped"
    ]
    assert not [name for name in Path("/proc").glob("[0-9]*/cmdline") if name.read_bytes() == b"sleep\x0061\x00"]
    assert list((kitchen.lab / "tmp").glob("*")) == []


# Where tests are run in the background, what they start ignores the signal, and a shell can't change that.
CTRL_C = "import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGINT)"


def test_a_program_that_ctrl_c_ends_is_an_interrupted_build(kitchen: Kitchen) -> None:
    def make(bench: Bench) -> Value:
        bench.run(sys.executable, "-c", CTRL_C)
        return {}

    kitchen.part("part/program", make=make)
    with pytest.raises(LabError, match="the lab's build was interrupted: the next one goes on where it stopped"):
        kitchen.build("part/program")


def test_two_builds_do_not_run_at_once(kitchen: Kitchen) -> None:
    running: list[int] = []
    worst: list[int] = []

    def make(_: Bench) -> Value:
        running.append(1)
        worst.append(len(running))
        time.sleep(0.2)
        running.pop()
        return {}

    kitchen.part("part/one", make=make)
    kitchen.part("part/two", make=make)
    threads = [
        threading.Thread(target=kitchen.builder().build, args=([name], NoProgress()))
        for name in ("part/one", "part/two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(worst) == 1


def test_missing_program_is_named(kitchen: Kitchen) -> None:
    def make(bench: Bench) -> Value:
        bench.run("no-such-program", "x")
        return {}

    kitchen.part("part/needs-program", make=make)
    with pytest.raises(LabError, match="this machine has no no-such-program"):
        kitchen.build("part/needs-program")


def test_full_disk_is_an_error_with_a_way_out(kitchen: Kitchen) -> None:
    def make(_: Bench) -> Value:
        raise OSError(errno.ENOSPC, "No space left on device", "/cache/blob")

    kitchen.part("part/large", make=make)
    with pytest.raises(LabError, match=r"cannot make part/large: .* No space left on device") as raised:
        kitchen.build("part/large")
    assert raised.value.hint == "free some room, then run it again: what is done already stays"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("x/one:3", "of x/one it has 1"),
        ("x/three:1", "`./daggerw --engine lab list` lists the images that it has"),
        ("part/three", "`./daggerw --engine lab list` lists the images that it has"),
    ],
)
def test_unknown_name_says_what_there_is(kitchen: Kitchen, name: str, hint: str) -> None:
    with pytest.raises(LabError, match=f"the lab has no '{name}'") as raised:
        kitchen.build(name)
    assert raised.value.hint == hint


def test_steps_are_shown(kitchen: Kitchen) -> None:
    shown: list[str] = []

    class Shown:
        @contextmanager
        def step(self, name: str) -> Generator[Step]:
            shown.append(name)
            yield self

        def say(self, text: str) -> None:
            shown.append(text)

    kitchen.builder().build(["x/two:1"], Shown())
    assert shown == ["part/c", "x/two:1"]


def test_changed_inputs_change_the_key(kitchen: Kitchen, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("1")
    kitchen.part("part/of-file")
    plain = kitchen.recipes["part/of-file"]
    kitchen.recipes["part/of-file"] = Recipe(plain.name, plain.make, inputs={"version": "1"})
    assert kitchen.build("part/of-file") == ["part/of-file"]
    kitchen.recipes["part/of-file"] = Recipe(plain.name, plain.make, inputs={"version": "2"})
    assert kitchen.build("part/of-file") == ["part/of-file"]
    kitchen.recipes["part/of-file"] = Recipe(plain.name, plain.make, inputs={"version": "2"}, files=(source,))
    assert kitchen.build("part/of-file") == ["part/of-file"]
    assert kitchen.build("part/of-file") == []


class Yielding:
    """Garbage that lets another thread run when it is collected."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        time.sleep(0)


@pytest.fixture
def often() -> Generator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("often")
def test_files_are_read_in_many_threads(tmp_path: Path) -> None:
    """Python's own parser fails where two threads are in it."""
    text = Path(ast.__file__).read_text()
    paths = [tmp_path / f"{number}.py" for number in range(24)]
    for path in paths:
        path.write_text(text)

    def read(path: Path) -> str:
        Yielding()
        return meaning(path)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(read, paths))) == 1
