"""Whether all files of the project name the same version of the same thing; `python -m ci.upkeep.agreement --check`.

The vendors' CI files are read as `ci-files` writes them. What a pattern finds is a name (the named group, or the rule's
own) and a version. A name's version is pinned in one file (`pin`); without a pin the files have to agree.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.common import pins
from ci.common.paths import TOP
from ci.common.references import parse_reference
from ci.upkeep.description import DESCRIPTION, ENGINE, Description, parse_description
from ci.upkeep.files import files as ci_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_OF_DESCRIPTION = "ci/upkeep/description.yaml"
_OF_PINS = "ci/common/pins.py"
_VERSION = r"v?(?P<version>[0-9]+(?:\.[0-9]+)+)"

#: These may name other versions: recorded answers, examples, and files that are made from the pins.
_NOT_READ = re.compile(r"(^|/)(tests|templates)/|\.(lock|sum|graphqls)$|package-lock\.json$")


@dataclass(frozen=True)
class Pin:
    """The version of a thing, and the file that pins it."""

    version: str
    file: str


@dataclass(frozen=True)
class Rule:
    """How files name a thing and its version."""

    what: str
    #: With the group `version`, and `name` where the pattern fits several things.
    pattern: str
    pin: Pin | None = None


def rules(description: Description) -> tuple[Rule, ...]:
    """Return the rules for all that is pinned in more than one file."""
    dagger = Pin(description.dagger.version, _OF_DESCRIPTION)
    engine = Pin(description.dagger.engine.removeprefix(f"{ENGINE}:"), _OF_DESCRIPTION)
    return (
        Rule("Dagger's engine", r"registry\.dagger\.io/engine:(?P<version>[^\s\"'`]+)", engine),
        Rule("Dagger's command line", rf"dagger_{_VERSION}_linux", dagger),
        Rule("Dagger's chart", rf"dagger-helm --version {_VERSION}", dagger),
        Rule("Dagger (engineVersion)", rf'"engineVersion": "{_VERSION}"', dagger),
        Rule("Dagger's Python SDK", rf"dagger-io=={_VERSION}", dagger),
        Rule("Dagger (the embedded engine's)", rf'DAGGER_VERSION = "{_VERSION}"', dagger),
        Rule("the oldest Dagger", rf"at_least \"\$\{{?version[^\"]*\" {_VERSION}", dagger),
        Rule("the oldest Dagger", rf"dagger \$version is older than {_VERSION}", dagger),
        Rule("the oldest Dagger", rf"Dagger \({_VERSION} or newer", dagger),
        Rule("the Dagger that was tried", rf"this project was tried with {_VERSION}", dagger),
        *(_image(image, _OF_DESCRIPTION) for image in description.images.values()),
        *(_image(image, _OF_PINS) for image in (pins.PYTHON,)),
        *(_pinned(image) for image in pins.TOOLS),
        *(
            Rule(action.name, rf"{re.escape(action.name)}@(?P<version>\S+ # \S+)", Pin(pinned, _OF_DESCRIPTION))
            for action in description.actions.values()
            for pinned in (f"{action.commit} # {action.tag}",)
        ),
        Rule("BuildKit", rf"moby/buildkit(?: |:){_VERSION}"),
        Rule("the package", r"\"(?P<name>[a-z0-9._-]+)(?:\[[a-z,]+\])?==(?P<version>[0-9][^\"]*)\""),
    )


def _image(image: str, file: str) -> Rule:
    reference = parse_reference(image)
    stem = re.escape(f"{reference.repository}:")
    kind = re.search(r"-[a-z]+$", reference.tag or "")  # docker:29-cli and docker:29-dind are two
    ending = re.escape(kind[0]) if kind else ""
    pattern = rf"{stem}(?P<version>[\w.-]+?{ending}(?:@sha256:[0-9a-f]+)?)(?=[\s\"'`]|$)"
    return Rule(f"the image {reference.repository}", pattern, Pin(image.removeprefix(f"{reference.repository}:"), file))


def _pinned(image: str) -> Rule:
    """Return the rule for an image that several files name by its digest."""
    tagged, _, digest = image.partition("@")
    pattern = rf"{re.escape(tagged)}@(?P<version>sha256:[0-9a-f]+)"
    return Rule(f"the digest of {tagged}", pattern, Pin(digest, _OF_PINS))


def disagreements(files: Mapping[str, str], checked: tuple[Rule, ...]) -> list[str]:
    """Return a line for each place that names another version than the pin, or than another file.

    A rule that finds nothing makes a line too: the files name its thing in another way by now.
    """
    said: list[str] = []
    for rule in checked:
        found = list(_find(rule, files))
        if not found:
            said.append(f"{rule.what}: no file names it in the way that is looked for ({rule.pattern})")
        by_name: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name, version, place in found:
            by_name[name].append((version, place))
        for name, places in by_name.items():
            pin = rule.pin or Pin(places[0][0], places[0][1])
            said += [
                f"{place}: {' '.join(filter(None, (rule.what, name)))} is {version} here, {pin.version} in {pin.file}"
                for version, place in places
                if version != pin.version
            ]
    return said


def _find(rule: Rule, files: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for file, text in files.items():
        for match in re.finditer(rule.pattern, text, re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            yield match.groupdict().get("name") or "", match["version"], f"{file}:{line}"


def read_files(top: Path) -> dict[str, str]:
    """Return path → text of the files that git knows, without tests, templates and locks."""
    listed = subprocess.run(  # noqa: S603
        ["git", "-C", str(top), "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    paths = [path for path in listed if not _NOT_READ.search(path) and (top / path).is_file()]
    return {path: (top / path).read_text(errors="replace") for path in paths}


def project_files(top: Path) -> dict[str, str]:
    """Return path → text of all that is compared: the files that git knows, and CI files that are not among them."""
    return {**ci_files(), **read_files(top)}


def main(arguments: list[str]) -> int:
    """Check this checkout; print what disagrees."""
    if arguments != ["--check"]:
        print("usage: python -m ci.upkeep.agreement --check", file=sys.stderr)
        return 2
    said = disagreements(project_files(TOP), rules(parse_description(DESCRIPTION.read_text())))
    for line in said:
        print(line)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
