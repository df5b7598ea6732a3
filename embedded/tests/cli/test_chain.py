"""From words to a query."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from graphql import build_schema, extend_schema, parse

from embedded.cli.chain import answer_path, build_query, read_chain, unwrap
from embedded.cli.errors import UsageError
from embedded.cli.model import Model
from embedded.cli.options import call_flags, global_flags
from embedded.engine.errors import EngineError
from embedded.tests.cli.fake import FakeSession

HERE = Path(__file__).parent


def model(module: str = "probe") -> Model:
    core = build_schema((HERE / "fake-core.graphqls").read_text())
    if not module:
        return Model(core)
    return Model(extend_schema(core, parse((HERE / f"fake-{module}.graphqls").read_text())), module)


@pytest.mark.parametrize(
    ("words", "path", "functions"),
    [
        ([], "dagger call", ["probe"]),
        (["greet", "--name", "x"], "dagger call greet", ["probe", "greet"]),
        (["--greeting", "hi", "greet", "--name", "x"], "dagger call greet", ["probe", "greet"]),
        (["greet", "--name", "greet"], "dagger call greet", ["probe", "greet"]),
        (["platformOf"], "dagger call platform-of", ["probe", "platformOf"]),
        (["-j", "child", "--label", "c", "-o", "x", "times", "-s", "tree"], "dagger call child times tree",
         ["probe", "child", "times", "tree"]),
        (["children", "label"], "dagger call children label", ["probe", "children", "label"]),
    ],
)  # fmt: skip
def test_words_become_a_chain(words: list[str], path: str, functions: list[str]) -> None:
    chain = read_chain(model(), words, (call_flags(), global_flags()), "dagger call")

    assert chain.leaf == path
    assert [link.function.name for link in chain.links] == functions


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["gret"], 'unknown command "gret" for "dagger call"\nRun \'dagger call --help\' for usage.'),
        (["words", "x"], 'unknown command "x" for "dagger call words"\nRun \'dagger call words --help\' for usage.'),
        (["greet", "x"], 'required flag(s) "name" not set\nRun \'dagger call greet --help\' for usage.'),
        (["greet", "--greeting", "x"],
         ("unknown flag: --greeting\n--greeting goes before greet: call --greeting x greet\nRun 'dagger call greet"
         " --help' for usage.")),
        (["child", "--label", "c", "times", "--greeting=a b"],
         ("unknown flag: --greeting\n--greeting goes before child: call --greeting 'a b' child\n"
         "Run 'dagger call child times --help' for usage.")),
        (["child", "--label", "c", "times", "--label"],
         ("unknown flag: --label\n--label goes before times: call child --label ... times\n"
         "Run 'dagger call child times --help' for usage.")),
        (["--lab", "words"],
         "unknown flag: --lab\n--lab goes first: ./daggerw --lab call ...\nRun 'dagger call --help' for usage."),
        (["child", "--label", "c", "id"],
         'unknown command "id" for "dagger call child"\nRun \'dagger call child --help\' for usage.'),
        (["--mod"], "flag needs an argument: --mod\nRun 'dagger call --help' for usage."),
    ],
)  # fmt: skip
def test_words_that_make_no_chain_are_refused(words: list[str], reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_chain(model(), words, (call_flags(), global_flags()), "dagger call")
    assert str(caught.value) == reason


def test_functions_with_arguments_that_no_flag_can_carry_are_hidden() -> None:
    with pytest.raises(UsageError, match='unknown command "with-node"'):
        read_chain(model(""), ["container", "with-node"], (), "dagger core")


def test_query_has_every_value_in_a_variable() -> None:
    probe = model()
    names = ("probe", "child", "times")
    owners = ("Query", "Probe", "ProbeChild")
    links = [probe.field(owner, name) for owner, name in zip(owners, names, strict=True)]
    values: list[dict[str, str]] = [{"greeting": "hi"}, {"label": 'a "quoted" $thing'}, {}]

    query, variables = build_query([(f, v) for f, v in zip(links, values, strict=True) if f], "sync")

    assert query == "query($v0: String, $v1: String!) { probe(greeting: $v0) { child(label: $v1) { times { sync } } } }"
    assert variables == {"v0": "hi", "v1": 'a "quoted" $thing'}


@pytest.mark.parametrize(
    ("names", "leaf", "query", "path"),
    [
        (["container", "sync"], "", "{ container { sync } }", ["container", "sync"]),
        (["container", "sync", "stdout"], "", "{ container { sync stdout } }", ["container", "stdout"]),
        (["container", "sync"], "export", "{ container { sync export } }", ["container", "export"]),
        (["container", "sync", "sync", "withExec", "stdout"], "", "{ container { sync sync withExec { stdout } } }",
         ["container", "withExec", "stdout"]),
    ],
)  # fmt: skip
def test_sync_is_asked_beside_what_follows_it(names: list[str], leaf: str, query: str, path: list[str]) -> None:
    core = model("")
    links = [core.field("Query" if name == "container" else "Container", name) for name in names]
    functions = [link for link in links if link]
    assert len(functions) == len(names)

    assert build_query([(function, {}) for function in functions], leaf)[0] == f"query {query}"
    assert answer_path(functions, leaf) == path


def test_query_passes_arguments_of_its_leaf() -> None:
    query, variables = build_query([], "export", {"path": ("String!", "out")})

    assert query == "query($v0: String!) { export(path: $v0) }"
    assert variables == {"v0": "out"}


def test_answer_is_unwrapped_up_to_the_first_list() -> None:
    assert unwrap({"a": {"b": 1}}, ["a", "b"]) == 1
    assert unwrap({"a": [{"b": 1}, {"b": 2}]}, ["a", "b"]) == [{"b": 1}, {"b": 2}]
    assert unwrap({"a": None}, ["a", "b"]) is None


def test_fake_refuses_what_its_schema_does_not_have() -> None:
    with pytest.raises(EngineError, match="Cannot query field 'nonsense'"):
        asyncio.run(FakeSession("probe").execute("{ nonsense }"))
