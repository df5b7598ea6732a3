"""How long builds take, beside upstream's way of building the same, on the same engine and inputs.

    python3 bench/build.py --lab                     the whole measurement: writes docs/performance.md and .svg
    python3 bench/build.py --lab --times 1                    the same in half of the time
    python3 bench/build.py --lab --only two --times 1 --dry   the least of it, printed only

Run it when the machine has nothing else to do: it takes 20 minutes on 2 cores. Needs what daggerw needs, and nothing
but Python besides.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import first_call
import performance
from meter import Cost, Meter

TOP = Path(__file__).resolve().parent.parent

#: Names of the sets that are built: outputs, and the layout that decides how disk images are packed.
SETS = {
    "two": ("kernel,initramfs", "boot"),
    "four": ("kernel,initramfs,installer,iso", "boot"),
    "six": ("upstream", "upstream"),
    "own": ("kernel,initramfs,installer,iso,metal,nocloud", "boot"),
}
#: `two` is for trying the script.
MEASURED = ("four", "six", "own")
#: How often a set is measured where `--times` does not say: the whole takes 20 minutes.
TIMES = {"two": 1, "four": 3, "six": 2, "own": 2}
#: How often a build with nothing changed, and a call that does nothing, are measured each time: they take seconds.
QUICK = 2
#: The variant with more in it comes first: the targets are for it.
FIRST, SECOND = "spin-tailscale", "spin-only"
#: Sets of which both variants are built for both architectures, too.
WITH_EVERY = ("two", "four")

#: The extension that changes, by its versions in the catalog's repository, and the variant that carries it.
CHANGING = "youki"
VERSIONS = ("0.5.5", "0.6.0")
VARIANT = """\
description: for the measurement
role: router
extensions: {{add: [spin, tailscale, '{name}:{version}']}}
"""

#: A step that was run, in the plain progress of the engine; cached steps are counted there, and not listed.
_STEP = re.compile(r"^#\d+ (exec .*?)\s+(\d+\.\d)s$", re.MULTILINE)


@dataclass
class Run:
    """One call of the command line: what it cost, and which commands were run for it."""

    cost: Cost
    steps: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    #: Requests to the engine; 0 where that does not write them down.
    requests: int = 0


class Engine:
    """The command line, as a user calls it: flags of daggerw, and of the module."""

    def __init__(self, flags: list[str], given: list[str], scratch: Path) -> None:
        self._dagger = [str(TOP / "daggerw"), *flags, "--progress", "plain"]
        self._given = given
        self._log = scratch / "log"
        self._requests = scratch / "requests"

    def call(self, *words: str) -> Run:
        """Call functions of the module, and measure it."""
        with Meter() as meter:
            self._run("call", *self._given, *words)
        steps = [(name.strip(), float(seconds)) for name, seconds in _STEP.findall(self._log.read_text())]
        requests = self._requests.read_text().count("\n") if self._requests.exists() else 0
        return Run(meter.cost, steps, requests)

    def answer(self, *words: str) -> str:
        """Call functions of the module, and return what is printed."""
        return self._run("call", *self._given, *words)

    def run(self, *command: str) -> str:
        """Run a command in a session, and return what it prints."""
        return self._run("run", *command)

    def _run(self, *words: str) -> str:
        self._requests.unlink(missing_ok=True)
        env = os.environ | {"DAGGERW_REQUESTS": str(self._requests)}
        with self._log.open("w") as log:
            done = subprocess.run(  # noqa: S603 - our own command line
                [*self._dagger, *words], cwd=TOP, env=env, stdout=subprocess.PIPE, stderr=log, text=True, check=False
            )
        if done.returncode != 0:
            sys.exit(f"{' '.join(words)}: exit code {done.returncode}\n{self._log.read_text()[-4000:]}")
        return done.stdout


class Measurement:
    """Takes one figure after the other."""

    def __init__(self, engine: Engine, scratch: Path) -> None:
        self._engine = engine
        self._scratch = scratch
        self._epoch = int(time.time())
        self._variants: dict[str, Path] = {}
        for version in VERSIONS:
            folder = scratch / f"variants-{version}"
            folder.mkdir()
            (folder / "changing.yaml").write_text(VARIANT.format(name=CHANGING, version=version))
            self._variants[version] = folder

    def _say(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    def _build(self, variant: str, name: str, *flags: str, arches: str = "arm64") -> Run:
        outputs, layout = SETS[name]
        epoch = ["--source-date-epoch", str(self._epoch)]
        self._say(f"build {variant} for {arches}, {outputs}")
        what = ("--variant", variant, "--arches", arches, "--outputs", outputs, "--layout", layout)
        return self._engine.call(*epoch, *flags, "build", *what, "entries")

    def _changed(self, version: str, name: str) -> Run:
        return self._build("changing", name, "--variants", str(self._variants[version]))

    def _new(self) -> None:
        # With another time in all files nothing that was built before is of use.
        self._epoch += 1

    def _no_op(self) -> Run:
        # A function that asks the engine for nothing.
        self._say("a call that does nothing")
        return self._engine.call("variants")

    def warm_up(self, name: str) -> None:
        """Pull and install all that is pulled and installed once."""
        self._say("warming up")
        self._build(FIRST, name)
        self._build("all", "two", arches="arm64,amd64")
        for version in VERSIONS:
            self._changed(version, "two")

    def upstream(self, variant: str, outputs: str) -> dict[str, Cost]:
        """Build outputs of a variant in upstream's way; returns each run's cost."""
        self._new()
        self._say(f"upstream's way, {variant}, {outputs}")
        plan = self._engine.answer("plan", "--variant", variant, "--outputs", outputs, "--format", "json")
        path = self._scratch / "plan.json"
        path.write_text(plan)
        script = str(TOP / "bench" / "upstream_way.py")
        printed: dict[str, Any] = json.loads(
            self._engine.run("python", script, str(path), str(self._epoch)).strip().splitlines()[-1]
        )
        return {output: Cost(**cost) for output, cost in printed.items()}

    def builds(self, name: str, times: int) -> dict[str, Run]:
        """Build a set cold, then the other variant; both the other way round; nothing changed; an extension changed."""
        found: dict[str, list[Run]] = {case: [] for case in performance.CASES}
        # By turns, since a machine is not as fast at one time as at another.
        for _ in range(times):
            self._new()
            found["other"].append(self._build(SECOND, name))
            found["after-other"].append(self._build(FIRST, name))
            self._new()
            found["cold"].append(self._build(FIRST, name))
            found["second"].append(self._build(SECOND, name))
            for _ in range(QUICK):
                found["unchanged"].append(self._build(FIRST, name))
                found["idle"].append(self._no_op())
            self._changed(VERSIONS[0], name)
            found["changed"].append(self._changed(VERSIONS[1], name))
        if name in WITH_EVERY:
            self._new()
            found["every"].append(self._build("all", name, arches="arm64,amd64"))
        return {case: _median(runs) for case, runs in found.items() if runs}


def _median(runs: list[Run]) -> Run:
    middle = statistics.median_low(run.cost.wall for run in runs)
    return next(run for run in runs if run.cost.wall == middle)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description="Measures builds.")
    parser.add_argument("--lab", action="store_true", help="against the lab's stand-ins instead of the real images")
    parser.add_argument("--upstream", metavar="DIR", help="CozyStack's checkout, instead of its release")
    parser.add_argument("--only", choices=SETS, action="append", help="only this set of outputs; may be repeated")
    parser.add_argument("--times", type=int, help="how often each is measured (the median counts)")
    parser.add_argument("--dry", action="store_true", help="print the page instead of writing it")
    parser.add_argument("--raw", type=Path, help="file for the figures as JSON")
    given = parser.parse_args()
    names = given.only or list(MEASURED)
    most = next(name for name in ("six", "own", "four", "two") if name in names)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        upstream = ["--upstream", given.upstream] if given.upstream else []
        measure = Measurement(Engine(["--lab"] if given.lab else [], upstream, scratch), scratch)
        measure.warm_up(most)
        outputs = "upstream" if most in ("six", "own") else SETS[most][0]
        costs, other_costs = (measure.upstream(variant, outputs) for variant in (FIRST, SECOND))
        builds = {name: measure.builds(name, given.times or TIMES[name]) for name in names}
    figures = performance.Figures(
        date=time.strftime("%Y-%m-%d"),
        cores=os.cpu_count() or 1,
        lab=given.lab,
        command="python3 bench/build.py"
        + " --lab" * given.lab
        + " --upstream DIR" * bool(given.upstream)
        + (f" --times {given.times}" if given.times else ""),
        upstream=costs,
        other_upstream=other_costs,
        first=FIRST,
        other=SECOND,
        builds={name: {case: (run.cost, run.steps) for case, run in runs.items()} for name, runs in builds.items()},
        sets={name: SETS[name][0] for name in names},
        requests={name: {case: run.requests for case, run in runs.items()} for name, runs in builds.items()},
    )
    if given.raw:
        given.raw.write_text(json.dumps(figures.to_json(), indent=2) + "\n")
    if given.dry:
        print(performance.page(figures))
        return
    page = TOP / "docs" / "performance.md"
    before = first_call.section(page)
    page.write_text(performance.page(figures))
    if before:
        first_call.write(before, page)
    (TOP / "docs" / "performance.svg").write_text(performance.plot(figures))


if __name__ == "__main__":
    main()
