"""The guides: each has all steps to a running application, and every command in them is one."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from ci.load.variant import parse_variant

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parents[2]
GUIDES = sorted((TOP / "docs/guides").glob("*.md"))

#: What may be needed, by the word that names it.
_NEEDS = ("registry", "network", "machine", "board", "card", "account", "talosctl", "cluster", "tailnet", "spin")

#: Programs that only steps which say what they need may call.
_ELSEWHERE = ("talosctl", "kubectl", "aws", "oci", "spin", "docker", "apt-get", "systemctl", "tailscale", "sudo")


@dataclass(frozen=True)
class Step:
    """A step of a guide: its title, what it needs, its text."""

    title: str
    needs: str
    text: str


def steps(guide: Path) -> Iterator[Step]:
    """Yield the steps of a guide, in order."""
    for part in re.split(r"^## ", guide.read_text(), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        needs = re.search(r" \(needs (.+)\)$", title)
        yield Step(title, needs[1] if needs else "", text)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("guide", [guide for guide in GUIDES if guide.stem != "README"], ids=lambda guide: guide.stem)
def test_a_guide_is_numbered_and_ends_with_the_application(guide: Path) -> None:
    found = list(steps(guide))
    assert [int(step.title.partition(".")[0]) for step in found] == list(range(1, len(found) + 1))
    assert guide.stem == "application" or "](application.md)" in guide.read_text()
    for step in found:
        assert not step.needs or any(word in step.needs for word in _NEEDS), step.title
        assert blocks(step.text, "sh") or "](application.md)" in step.text, step.title


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_commands_of_a_guide_are_shell_and_say_where_they_can_be_run(guide: Path) -> None:
    for step in steps(guide):
        for block in blocks(step.text, "sh"):
            done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
            assert done.returncode == 0, block + done.stderr
            words = {
                line.split()[0]
                for line in re.sub(r"<<END\n.*?^END$", "", block, flags=re.DOTALL | re.MULTILINE).splitlines()
                if line
            }
            assert step.needs or not words & set(_ELSEWHERE), step.title


def test_the_list_names_every_guide() -> None:
    listed = re.findall(r"\]\((\w[\w-]*\.md)\)", (TOP / "docs/guides/README.md").read_text())
    assert sorted(listed) == sorted(guide.name for guide in GUIDES if guide.stem != "README")
    assert "(docs/guides/README.md)" in (TOP / "README.md").read_text()


def test_the_boards_variant_is_one() -> None:
    text = next(block for block in blocks((TOP / "docs/guides/raspberry-pi.md").read_text(), "sh") if "<<END" in block)
    (variant,) = re.findall(r"<<END\n(.*?)^END$", text, re.DOTALL | re.MULTILINE)
    digest = f"sha256:{1:064x}"
    parse_variant("raspberry.yaml", variant.replace("$overlay@$(crane digest $overlay)", f"ghcr.io/a/b:v1@{digest}"))


def test_the_application_is_two_objects_that_fit_each_other() -> None:
    text = (TOP / "docs/guides/application.md").read_text()
    (manifest,) = re.findall(r"hello.yaml <<END\n(.*?)^END$", text, re.DOTALL | re.MULTILINE)
    deployment, service = yaml.safe_load_all(manifest)
    template = deployment["spec"]["template"]
    assert (
        deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"] == service["spec"]["selector"]
    )
    assert template["spec"]["runtimeClassName"] == "wasmtime-spin-v2"
