"""The commands of the vendors' CI files: taken out of each file as its vendor would read it, and run against stubs."""

from __future__ import annotations

import re
import subprocess
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

#: What the vendors put in place of their own expressions, in a job for one variant.
EXPRESSIONS = {
    "${{ matrix.variant }}": "spin-only",
    "${{ github.actor }}": "someone",
    "${{ github.token }}": "ghs_0",
    "${{ github.repository }}": "example/cozystack-talos",
    "${{ steps.outdated.outputs.output }}": "Talos is newer",
    "<< parameters.variant >>": "spin-only",
    "{{matrix}}": "spin-only",
    "${VARIANT}": "spin-only",
    "{{inputs.parameters.variant}}": "spin-only",
    "$(params.variant)": "spin-only",
    "$(params.repository)": "https://git.example.com/cozystack-talos",
    "$(params.revision)": "v1.0.0",
    "$(workspaces.assets.path)": "assets",
    "$(workspaces.reports.path)": "workloads",
    "${{ vars.REGISTRY_USERNAME }}": "someone",
    "${{ secrets.REGISTRY_PASSWORD }}": "s3cret",
    "$(REGISTRY_USERNAME)": "someone",
    "$(REGISTRY_PASSWORD)": "s3cret",
}

#: What secrets hold, by the names that the files give them.
SECRETS = {
    "registry_username": "someone",
    "registry_password": "s3cret",
    "registry/username": "someone",
    "registry/password": "s3cret",
}

#: What the vendors set by themselves.
VENDOR_VARIABLES = {
    "CI_REGISTRY_IMAGE": "registry.example.com/cozystack-talos",
    "CI_REGISTRY_USER": "someone",
    "CI_REGISTRY_PASSWORD": "s3cret",
    "CODEBUILD_WEBHOOK_TRIGGER": "tag/v1.0.0",
    "GITHUB_REF_NAME": "v1.0.0",
    "GITHUB_REPOSITORY": "example/cozystack-talos",
    "VARIANT": "spin-only",
}

#: What users set at these vendors, which give it to every script as variables.
_SET_BY_USERS = {"REGISTRY_USERNAME": "someone", "REGISTRY_PASSWORD": "s3cret"}

#: What Dagger publishes next to the archives of a release.
CHECKSUMS = """\
0000  dagger_v1.0.0_darwin_amd64.tar.gz
1111  dagger_v1.0.0_linux_amd64.tar.gz
2222  dagger_v1.0.0_linux_arm64.tar.gz"""

#: Programs that the scripts may call; any other is an error of the shell.
_PROGRAMS = ("curl", "dagger", "gh", "git", "sha256sum", "tar", "wget")

# Writes what it was called with; does the little that the next line of a script needs.
_STUB = r"""#!/bin/sh
name=${0##*/}
{ printf '%s' "$name"; for word; do printf '\037%s' "$word"; done; printf '\036'; } >>"$CALLS"
case $name:${1:-} in
    sha256sum:-c) read -r said && printf '%s\n' "$said" >>"$CHECKED" ;;
    curl:*|wget:*) case $* in */checksums.txt) printf '%s\n' "$CHECKSUMS" ;; esac ;;
    dagger:*) for word; do case $word in env:*) eval ": \"\${${word#env:}:?}\"" ;; esac; done ;;
    tar:-xzf) cp "$STUBS/dagger" dagger ;;
    git:diff) exit 1 ;;
    git:clone) mkdir source && cp "$STUBS/dagger" source ;;
esac
"""


@dataclass(frozen=True)
class Script:
    """One piece of shell, with the variables that the file gives it."""

    text: str
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


def scripts(path: str, text: str) -> list[list[Script]]:
    """Return the scripts of a file, job by job, in their order."""
    for expression, value in EXPRESSIONS.items():
        text = text.replace(expression, value)
    return [list(job) for job in _READERS[path](text)]


def _documents(text: str) -> list[Any]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


def _lines(value: object) -> str:
    return "\n".join(cast("list[str]", value)) if isinstance(value, list) else str(value)


def _github(text: str) -> Iterator[Iterator[Script]]:
    def steps(job: Any) -> Iterator[Script]:
        for step in job["steps"]:
            given: dict[str, str] = step.get("with", {})
            if step.get("uses", "").startswith("dagger/dagger-for-github@"):  # what the action does with its inputs
                flags = given.get("dagger-flags", "--progress plain")
                module = f"-m {given['module']}" if "module" in given else ""
                yield Script(f"dagger {flags} {given['verb']} {module} {given['args']}", step.get("env", {}))
            elif "run" in step:
                yield Script(step["run"], step.get("env", {}))

    return (steps(job) for job in _documents(text)[0]["jobs"].values())


def _gitlab(text: str) -> Iterator[Iterator[Script]]:
    (file,) = _documents(text)
    before = _lines(file["default"]["before_script"])
    scripts = (f"{before}\n{_lines(job['script'])}" for job in file.values() if "script" in job)
    return (iter([Script(script, _SET_BY_USERS)]) for script in scripts)


def _circleci(text: str) -> Iterator[Iterator[Script]]:
    (file,) = _documents(text)

    def steps(job: Any) -> Iterator[Script]:
        for step in job["steps"]:
            if isinstance(step, str):
                yield from steps(file["commands"].get(step, {"steps": []}))
            elif "run" in step:
                yield Script(step["run"], {**job.get("environment", {}), **_SET_BY_USERS})

    return (steps(job) for job in file["jobs"].values())


def _jenkins(text: str) -> Iterator[Iterator[Script]]:
    credentials = {"REGISTRY_USR": "someone", "REGISTRY_PSW": "s3cret"}
    variables = credentials if "REGISTRY = credentials('registry')" in text else {}
    # A matrix runs its stages with each value of its axis; a variant is enough.
    for stage in re.split(r"(?m)^    stage\(", text)[1:]:
        axis = re.search(r"\bname '(\w+)'\s+values ([^\n]+)", stage)
        (script,) = re.findall(r"\bsh '''\n(.*?)'''", stage, re.DOTALL)
        taken = re.findall(r"'([^']+)'", axis[2]) if axis else [""]
        for value in ["spin-only"] if axis and axis[1] == "VARIANT" else taken:
            given = {**variables, axis[1]: value} if axis else {}
            yield iter([Script(textwrap.dedent(script), given)])


def _azure(text: str) -> Iterator[Iterator[Script]]:
    jobs = _documents(text)[0]["jobs"]
    return ((Script(step["script"], step.get("env", {})) for step in job["steps"] if "script" in step) for job in jobs)


def _buildkite(text: str) -> Iterator[Iterator[Script]]:
    for step in _documents(text)[0]["steps"]:
        script = _lines(step["command"])
        assert not re.search(r"(?<!\$)\$(?!\$)", script)  # the agent would replace it when it uploads the pipeline
        yield iter([Script(script.replace("$$", "$"), _SET_BY_USERS)])


def _steps(text: str) -> Iterator[Iterator[Script]]:
    for file in _documents(text):
        for step in file["steps"]:
            secrets = {name: SECRETS[one["from_secret"]] for name, one in step.get("environment", {}).items()}
            yield iter([Script(_lines(step["commands"]), secrets)])


def _codebuild(text: str) -> Iterator[Iterator[Script]]:
    (file,) = _documents(text)
    yield (Script(_lines(phase["commands"]), _SET_BY_USERS) for phase in file["phases"].values())


def _argo(text: str) -> Iterator[Iterator[Script]]:
    for template in _documents(text)[0]["spec"]["templates"]:
        if container := template.get("container"):
            assert container["command"] == ["sh", "-euc"]
            (script,) = container["args"]
            yield iter([Script(script, _environment(container))])


def _argo_cron(text: str) -> Iterator[Iterator[Script]]:
    (file,) = _documents(text)
    assert file["spec"]["workflowSpec"]["workflowTemplateRef"]["name"] == "cozystack-talos"
    return iter(())


def _tekton(text: str) -> Iterator[Iterator[Script]]:
    for document in _documents(text):
        for step in document["spec"].get("steps", []):
            yield iter([Script(step["script"], _environment(step))])


def _environment(container: Any) -> dict[str, str]:
    def value(one: Any) -> str:
        if "value" in one:
            return one["value"]
        secret = one["valueFrom"]["secretKeyRef"]
        return SECRETS[f"{secret['name']}/{secret['key']}"]

    return {one["name"]: value(one) for one in container["env"]}


def _teamcity(text: str) -> Iterator[Iterator[Script]]:
    (found,) = re.finditer(
        r'scriptContent = """\n(.*?)"""\.trimIndent\(\) \+ calls\.joinToString\(""\) \{ "(.*?)" \}', text, re.DOTALL
    )
    literal = r'"((?:[^"\\]|\\.)*)"'
    for arguments in re.findall(r"buildType\(dagger\((.*?)\)\)\n", text, re.DOTALL):
        joined = re.sub(r'" \+\s+"', "", arguments)
        _title, _branches, *calls = re.findall(literal, joined)
        lines = [found[2].replace("$it", call) for call in calls]
        script = textwrap.dedent(found[1]) + "".join(
            _unescaped(line.replace("$variant", "spin-only")) for line in lines
        )
        yield iter([Script(script, _SET_BY_USERS)])


def _unescaped(text: str) -> str:
    """Read the escapes of a Kotlin string."""
    return re.sub(r"\\(.)", lambda escape: {"n": "\n"}.get(escape[1], escape[1]), text)


_READERS: dict[str, Callable[[str], Iterator[Iterator[Script]]]] = {
    ".github/workflows/pages.yml": _github,
    ".github/workflows/test.yml": _github,
    ".github/workflows/release.yml": _github,
    ".github/workflows/update.yml": _github,
    ".github/workflows/workloads.yml": _github,
    ".gitlab-ci.yml": _gitlab,
    ".circleci/config.yml": _circleci,
    "Jenkinsfile": _jenkins,
    "azure-pipelines.yml": _azure,
    ".buildkite/pipeline.yml": _buildkite,
    ".woodpecker/boot.yaml": _steps,
    ".woodpecker/test.yaml": _steps,
    ".woodpecker/build.yaml": _steps,
    ".woodpecker/workloads.yaml": _steps,
    ".drone.yml": _steps,
    "buildspec.yml": _codebuild,
    "deploy/argo/cron-workflow.yaml": _argo_cron,
    "deploy/argo/workflow-template.yaml": _argo,
    "deploy/tekton/pipelines.yaml": _tekton,
    ".teamcity/settings.kts": _teamcity,
}


@dataclass(frozen=True)
class Ran:
    """What a job called."""

    #: Program and arguments of each call.
    calls: list[list[str]]
    #: What `sha256sum -c` was given.
    checked: list[str]


def run(job: list[Script], folder: Path, variables: Mapping[str, str] = VENDOR_VARIABLES) -> Ran:
    """Run a job's scripts one after the other in an empty folder, as a vendor's runner does; all must succeed."""
    stubs, work = folder / "stubs", folder / "work"
    for made in (stubs, work):
        made.mkdir()
    for name in _PROGRAMS:
        (stubs / name).write_text(_STUB)
        (stubs / name).chmod(0o755)
    calls, checked = folder / "calls", folder / "checked"
    calls.touch()
    checked.touch()
    own = {
        "PATH": f"{stubs}:/bin:/usr/bin",
        "CALLS": str(calls),
        "CHECKED": str(checked),
        "CHECKSUMS": CHECKSUMS,
        "STUBS": str(stubs),
    }
    (work / "release.tar").touch()
    for script in job:
        subprocess.run(
            ["sh", "-eu", "-c", script.text], cwd=work, env={**variables, **script.variables, **own}, check=True
        )
    said = [call.split("\x1f") for call in calls.read_text().split("\x1e") if call]
    return Ran(said, checked.read_text().splitlines())


def dagger_calls(ran: Ran) -> list[list[str]]:
    """Return the arguments of each call of dagger."""
    return [call[1:] for call in ran.calls if call[0] == "dagger"]
