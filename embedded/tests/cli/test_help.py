"""Help texts and tables of functions: the blocks that Dagger printed for the same functions."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from embedded.tests.cli.conftest import Dagger, Runner
    from embedded.tests.cli.fake import FakeEngine

FUNCTIONS = """\
  add             Sum of numbers.
  child           Make a child object.
  children        Two children.
  fail            Raise an error.
  greet           Greet somebody.
  healthy         A check that passes.
  names           Entries of a directory argument that has a default path.
  nothing         Return nothing.
  optional        An argument that may be left out.
  platform-of     Platform of an empty container.
  read            Contents of a file argument.
  renamed         An argument whose name is a keyword in Python.
  secret-length   Length of a secret argument.
  words           Two words.
"""
OBSERVED = {
    "call --help": {
        "USAGE": "  dagger call [options] <function>\n",
        "FUNCTIONS": FUNCTIONS,
        "ARGUMENTS": '      --greeting string   Word to greet with (default "hello")\n',
    },
    "call greet --help": {
        "USAGE": "  dagger call greet [arguments]\n",
        "ARGUMENTS": "      --name string   [required]\n      --loud\n",
    },
    "call child --help": {
        "USAGE": "  dagger call child [arguments] <function>\n",
        "FUNCTIONS": "  count         -\n"
        "  label         -\n"
        "  times         The same child, counted n times more.\n"
        "  tree          A directory with a file named after the child.\n",
        "ARGUMENTS": "      --label string   [required]\n",
    },
}


def blocks_of(text: str) -> dict[str, str]:
    """Cut a help text into its titled blocks."""
    found = re.findall(r"^([A-Z ]+)\n((?:  .*\n)+)", text, re.MULTILINE)
    return {title: block for title, block in found if "OPTIONS" not in title}


@pytest.mark.parametrize("args", OBSERVED)
def test_help_has_the_blocks_that_dagger_printed(args: str, runner: Runner) -> None:
    outcome = runner(shlex.split(args))

    assert outcome.code == 0
    assert blocks_of(outcome.stdout) == OBSERVED[args]


def test_functions_prints_the_table_that_dagger_printed(runner: Runner) -> None:
    outcome = runner(["functions"])

    rows = "".join(line[2:] + "\n" for line in FUNCTIONS.splitlines())
    assert outcome.stdout == f"Name            Description\n{rows}"


@pytest.mark.parametrize(
    ("args", "first"),
    [
        (["greet", "--help"], "Greet somebody.\n"),
        (["greet", "-h"], "Greet somebody.\n"),
        (["--help", "greet"], "Greet somebody.\n"),
        (["greet", "--name", "x", "--help"], "Greet somebody.\n"),
        (["child", "times", "--help"], "The same child, counted n times more.\n"),
    ],
)
def test_help_is_asked_for_anywhere(args: list[str], first: str, dagger: Dagger) -> None:
    outcome = dagger("call", *args)

    assert outcome.stdout.startswith(first)
    assert (outcome.code, outcome.stderr) == (0, "")


def test_help_command_is_the_same_as_the_flag(dagger: Dagger) -> None:
    assert dagger("help", "call", "greet").stdout == dagger("call", "greet", "--help").stdout


@pytest.mark.usefixtures("more")
def test_help_shows_types_defaults_and_what_is_left_out(dagger: Dagger) -> None:
    text = dagger("call", "kinds", "--help").stdout

    assert blocks_of(text)["ARGUMENTS"].splitlines() == [
        "      --anything string",
        "      --branch GitRef",
        "      --build-args []BuildArg",
        "      --cache CacheVolume",
        "      --colour GREEN,RED        In any case (default RED)",
        "      --colours []GREEN,RED",
        "      --count int",
        "      --files []File",
        "      --image Container",
        "      --loud",
        "      --platforms []Platform",
        "      --ratio float",
        "      --ratios floats",
        "      --switches bools",
        "      --texts strings           (default [a,b])",
    ]
    assert "Skipped 1 argument(s) with unsupported types: node" in text


def test_help_says_where_a_directory_comes_from(dagger: Dagger) -> None:
    assert '--source Directory   (default path "/")' in dagger("call", "names", "--help").stdout


def test_help_wraps_to_the_terminal(dagger: Dagger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "62")

    text = dagger("call", "--help").stdout

    assert "  names           Entries of a directory argument that has a\n                  default path.\n" in text
    assert max(map(len, text.splitlines())) < 80


def test_help_of_an_unknown_function_is_an_error(dagger: Dagger) -> None:
    outcome = dagger("call", "gret", "--help")

    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith('Error: unknown command "gret" for "dagger call"')


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (["child"], ["count", "label", "times", "tree"]),
        (["children", "tree", "file"], ["contents", "export", "size", "sync"]),
    ],
)
def test_functions_follows_a_chain(path: list[str], names: list[str], dagger: Dagger) -> None:
    title, *rows = dagger("functions", *path).stdout.splitlines()

    assert title.split() == ["Name", "Description"]
    assert [row.split()[0] for row in rows] == names


def test_functions_names_those_that_no_flag_can_call(dagger: Dagger) -> None:
    text = dagger("functions", "--no-mod", "container").stdout

    assert "with-exec" in text
    assert text.endswith("\nSkipped 1 function(s) with unsupported types: with-node\n")


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["nope"], 'no function "nope" in type "Probe"'),
        (["greet"], 'function "greet" returns type "STRING_KIND" with no further functions available'),
        (["-M", "container", "with-node"], 'function "with-node" in type "Container" is not supported'),
    ],
)
def test_functions_refuses_a_chain_that_leads_nowhere(args: list[str], error: str, dagger: Dagger) -> None:
    outcome = dagger("functions", *args)

    assert (outcome.code, outcome.stdout, outcome.stderr) == (1, "", f"Error: {error}\n")


def test_help_names_what_daggerw_itself_takes(dagger: Dagger) -> None:
    text = dagger("--help").stdout

    assert "OF DAGGERW ITSELF\n  --lab " in text
    assert "\n  DAGGERW_ENGINE " in text


def test_help_of_export_says_what_it_does_to_the_disk(dagger: Dagger) -> None:
    text = dagger("call", "child", "--label", "c", "tree", "export", "--help").stdout

    assert re.search(r"--path string +Where to write it", text)
    assert re.search(r"--wipe +Delete what else lies", text)


@pytest.mark.parametrize("command", ["", "check", "functions", "run", "query", "version"])
def test_every_command_has_help_without_a_session(command: str, dagger: Dagger, engine: FakeEngine) -> None:
    outcome = dagger(*filter(None, [command]), "--help")

    assert outcome.code == 0
    assert f"USAGE\n  dagger {command}".rstrip() in outcome.stdout
    assert engine.opened == []


def test_help_of_a_function_that_gives_a_core_type_begins_with_its_own_arguments(dagger: Dagger) -> None:
    text = dagger("call", "child", "--label", "c", "tree", "--help").stdout
    title = "FUNCTIONS OF THE DIRECTORY"

    assert f"\n{title}\n  entries " in text
    assert re.search(r"^  export +Write it to a folder of this machine$", text, re.MULTILINE)
    assert not re.search(r" -$", text, re.MULTILINE)

    text = dagger("core", "container", "--help").stdout
    assert text.index("ARGUMENTS") < text.index("FUNCTIONS OF THE CONTAINER")
    assert "\n  others: " in text
