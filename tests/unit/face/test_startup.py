"""What the module loads before it can tell its types: the SDK, arguments and texts; nothing that the functions do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[3]

#: Rooms of which the module's arguments and texts need nothing.
LATE = {"resolve", "inspect", "verify", "report", "node", "compare", "publish", "steps", "execute"}
#: Each file costs time at every call.
MOST_FILES = 60

#: Tells what is loaded when the SDK has all that it sends to the engine of the module's types.
SCRIPT = """
import json, sys, types
import dagger.mod.cli
before = {*sys.modules}
import ci.main
module = ci.main.CozystackTalos.__dagger_module__
face = module.get_object("CozystackTalos")
functions = [face.get_constructor(module._converter), *(face.functions[name] for name in face.functions if name)]
told = [(one.return_type, one.doc, one.cache_policy) for one in functions]
told += [(one.name, one.resolved_type, one.doc, one.default_value, one.ignore)
         for function in functions for one in function.parameters.values()]
assert len(told) > 100
run = [name for name, module in sys.modules.items() if name not in before and type(module) is types.ModuleType]
print(json.dumps(run))
"""


def loaded() -> tuple[set[str], list[str]]:
    """The modules of this project that are run, and the libraries that the SDK has not loaded before."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=True,
    )
    names: list[str] = json.loads(done.stdout)
    own = {name for name in names if name.partition(".")[0] == "ci"}
    libraries = {name.partition(".")[0] for name in names} - {"ci", *sys.stdlib_module_names}
    return own, sorted(libraries)


def test_the_face_starts_with_no_library_but_those_of_the_sdk() -> None:
    """pydantic, yaml, httpx, rich, dulwich, zstandard and the like are loaded by the function that uses them."""
    _, libraries = loaded()
    assert libraries == [], f"loaded before a function is called: {', '.join(libraries)}"


def test_the_face_starts_with_nothing_that_functions_do() -> None:
    own, _ = loaded()
    early = [name for name in sorted(own) if name.count(".") > 1 and name.split(".")[1] in LATE]
    assert early == [], f"loaded before a function is called: {', '.join(early)}"
    assert len(own) <= MOST_FILES
