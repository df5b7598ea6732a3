"""What README and docs say: requirements, commands, variants and their refusals are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagger
import pytest

from ci.boot.checks import REQUIREMENTS as BOOT_REQUIREMENTS
from ci.boot.model import OUTCOME_SENTENCES, Outcome
from ci.common.errors import VariantError
from ci.load.variant import VariantSpec, load_variants, parse_variant
from ci.main import CozystackTalos
from ci.verify.checks_images import REQUIREMENTS as IMAGE_REQUIREMENTS
from ci.verify.extension_images import REQUIREMENTS as EXTENSION_REQUIREMENTS
from ci.verify.verify import REQUIREMENTS
from tests.unit.planning import plan_of, request

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parents[2]
README = (TOP / "README.md").read_text()
VARIANTS = (TOP / "docs/variants.md").read_text()

#: What the documents do with a function's result, by its type.
OF_RESULTS: dict[Any, set[str]] = {
    dagger.Directory: {"export", "file", "contents"},
    dagger.File: {"export", "contents"},
    dagger.Container: {"export"},
}

#: Flags of the command line itself, before `call`.
OWN_FLAGS = {"lab", "m"}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)


def test_the_requirements_on_their_page_are_those_that_are_checked() -> None:
    page = (TOP / "docs/checks.md").read_text()
    assert "(docs/checks.md)" in README
    listed = re.findall(r"^\| `([a-z-]+\.[a-z-]+)` \| ([^|]+) \|$", page, re.MULTILINE)
    wanted = (*REQUIREMENTS, *EXTENSION_REQUIREMENTS)
    assert listed == [(one.id, one.sentence) for one in wanted]


def test_the_requirements_of_images_are_those_that_are_checked() -> None:
    text = (TOP / "docs/publish.md").read_text()
    listed = re.findall(r"^\| `(image\.[a-z-]+)` \| (.+) \|$", text, re.MULTILINE)
    assert listed == [(one.id, one.sentence) for one in IMAGE_REQUIREMENTS]


def commands() -> Iterator[list[str]]:
    """The words of every call in README and docs."""
    for text in (README, *(path.read_text() for path in sorted((TOP / "docs").rglob("*.md")))):
        for line in re.findall(r"^ *((?:\./daggerw|dagger) .*)$", text, re.MULTILINE):
            words = shlex.split(re.split(r" [>|] ", line)[0], comments=True)
            if "call" in words:
                yield words


MODULE: Any = vars(CozystackTalos)["__dagger_module__"]
OBJECT: Any = MODULE.get_object("CozystackTalos")


def kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"-\1", name).replace("_", "-").lower()


def flags(parameters: Any) -> dict[str, bool]:
    """Flag → whether a value follows it: one that is true or false has none."""
    return {kebab(parameter.name): parameter.resolved_type is not bool for parameter in parameters.values()}


FUNCTIONS: dict[str, Any] = {kebab(name): function for name, function in OBJECT.functions.items() if name}
CALLS = list(commands())


def test_there_are_calls_to_look_at() -> None:
    said = {" ".join(words) for words in CALLS}
    assert {
        "dagger call build --variant spin-only export --path out",
        "dagger call test",
        "./daggerw --lab call build --variant spin-only export --path out",
        "./daggerw --lab call test",
    } <= said


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_a_documented_call_names_functions_and_flags_that_exist(words: list[str]) -> None:
    if "-m" in words:  # the module, by a reference with a version
        module = words.index("-m") + 1
        assert words[module - 2] == "call"  # its place in both 0.21's and 1.0's help, and in the CI files
        assert re.fullmatch(r"github\.com/OWNER/cozystack-talos@v[0-9.]+", words[module])
        words = words[: module - 1] + words[module + 1 :]
    at = words.index("call")
    assert {word.lstrip("-") for word in words[1:at] if word.startswith("-")} <= OWN_FLAGS
    allowed = flags(OBJECT.get_constructor(MODULE._converter).parameters)
    called, rest = None, iter(words[at + 1 :])
    for word in rest:
        if word.startswith("--"):
            assert word.removeprefix("--") in allowed
            if allowed[word.removeprefix("--")]:
                next(rest)
        elif word == "-o":  # the command line's own: where the result is saved
            assert called
            next(rest)
        elif called is None:
            assert word in FUNCTIONS
            called = word
            allowed = flags(FUNCTIONS[word].parameters)
        else:
            assert word in OF_RESULTS[FUNCTIONS[called].return_type]
            allowed = {"path": True}
    assert called


def test_the_readme_shows_every_function() -> None:
    named = {word for words in CALLS for word in words}
    assert set(FUNCTIONS) <= named


def files(text: str) -> Iterator[tuple[str, str]]:
    for block in blocks(text, "yaml"):
        name = re.match(r"# (.*)\n", block)
        assert name
        yield name[1], block


SOURCES = (TOP / "docs/sources.md").read_text()


@pytest.mark.parametrize(("file", "text"), [*files(README), *files(VARIANTS), *files(SOURCES)])
def test_a_documented_variant_is_one(file: str, text: str) -> None:
    assert load_variants({file: text}).names == (file.removesuffix(".yaml"),)


def test_every_key_of_a_variant_is_documented() -> None:
    (whole,) = (parse_variant(*pair).spec for pair in files(VARIANTS) if "aliases" in pair[1])
    left_out = VariantSpec(description="x", role="x")
    assert [name for name in VariantSpec.model_fields if getattr(whole, name) == getattr(left_out, name)] == []


HEAD = "description: x\nrole: worker\n"
REFUSED = [
    f"{HEAD}extension: {{}}\n",
    "description: x\n",
    f"{HEAD}extensions:\n  drop: [{{name: spin, reason: x}}]\n  add: [spin]\n",
    f"{HEAD}extensions:\n  add:\n    - spin\n    - spin\n",
    f"{HEAD}extensions:\n  add: ['ghcr.io/example/sensors:v2']\n",
    f"{HEAD}extensions:\n  drop: [drbd]\n",
    f"{HEAD}architectures: [x86_64]\n",
    'description: x\nrole: "worker\\nat the edge"\n',
    'description: "\\e[31mred"\nrole: worker\n',
    b"description: caf\xe9\nrole: worker\n".decode(errors="replace"),
]
REFUSED_LATER = [
    f"{HEAD}extensions:\n  add: [spinn]\n",
    f"{HEAD}extensions:\n  drop: [{{name: drdb, reason: x}}]\n",
    f"{HEAD}architectures: [amd64]\n",
    f"{HEAD}extraKernelArgs: [a=1]\n",
]


def test_the_documented_refusals_of_a_file_are_what_is_said() -> None:
    said: list[str] = []
    for name, text in [*(("edge.yaml", text) for text in REFUSED), ("edge.yml", HEAD)]:
        with pytest.raises(VariantError) as raised:
            load_variants({name: text})
        said.append(str(raised.value))
    assert said == blocks(VARIANTS, "text")[0].splitlines()


async def test_the_documented_refusals_of_a_plan_are_what_is_said() -> None:
    said: list[str] = []
    for text in REFUSED_LATER:
        with pytest.raises(VariantError) as raised:
            await plan_of(request(parse_variant("edge.yaml", text), outputs=("kernel", "initramfs")))
        said.append(str(raised.value))
    assert said == blocks(VARIANTS, "text")[1].splitlines()


def test_the_page_of_variants_is_linked_from_the_readme() -> None:
    assert "(docs/variants.md)" in README


def test_the_readmes_outputs_are_in_the_layout() -> None:
    shown = re.findall(r"^out/assets/talos/arm64/(\S+)", README, re.MULTILINE)
    assert {"boot/vmlinuz", "boot/initramfs.xz", "checksums.sha256", "validation/build-report.txt"} <= set(shown)


def test_the_page_of_boots_lists_the_checks_and_the_verdicts() -> None:
    page = (TOP / "docs/boot.md").read_text()
    assert "(docs/boot.md)" in README
    rows = re.findall(r"^\| `([a-z.-]+)` \| ([^|]+) \|$", page, re.MULTILINE)
    assert [row for row in rows if row[0].startswith("boot.")] == [(one.id, one.sentence) for one in BOOT_REQUIREMENTS]
    verdicts = [(one.value, OUTCOME_SENTENCES[one]) for one in Outcome]
    assert sorted(row for row in rows if "." not in row[0]) == sorted(verdicts)
