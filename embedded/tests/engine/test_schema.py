"""The schema offers what Dagger's does: checked against dagger-io's generated client, which every clone has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from graphql import GraphQLObjectType, GraphQLSchema, build_schema, print_type

from embedded.engine import api
from embedded.engine.api.registry import RESOLVERS, python_name
from embedded.engine.module import bound, calls, current, typedefs
from embedded.engine.schema import SCHEMA_FILE, load_schema

RECORDED = Path(__file__).parents[4] / "shared" / "dagger" / "schema-v0.21.8.graphqls"
_ = (api, bound, calls, current, typedefs)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> GraphQLSchema:
    return load_schema(tmp_path_factory.mktemp("schema"))


def objects(schema: GraphQLSchema) -> dict[str, GraphQLObjectType]:
    return {name: kind for name, kind in schema.type_map.items() if isinstance(kind, GraphQLObjectType)}


def test_every_resolver_answers_a_field_of_the_schema(schema: GraphQLSchema) -> None:
    kinds = objects(schema)
    unknown = [f"{kind}.{field}" for kind, field in RESOLVERS if field not in kinds[kind].fields]
    assert unknown == []


def test_every_resolver_takes_the_arguments_of_its_field(schema: GraphQLSchema) -> None:
    """A required argument that no resolver takes would fail on the first call."""
    wrong: list[str] = []
    for (kind, field), function in RESOLVERS.items():
        parameters = list(inspect.signature(function).parameters.values())[2:]
        if any(one.kind is one.VAR_KEYWORD for one in parameters):
            continue
        taken = {one.name for one in parameters}
        offered = {python_name(name) for name in objects(schema)[kind].fields[field].args}
        needed = {one.name for one in parameters if one.default is one.empty}
        if not (offered <= taken and needed <= offered):
            wrong.append(f"{kind}.{field}: schema {sorted(offered)}, resolver {sorted(taken)}")
    assert wrong == []


def test_fields_and_arguments_are_those_of_the_generated_client(schema: GraphQLSchema) -> None:
    """dagger-io's client is generated from Dagger's schema: a name that it does not have would be our invention."""
    import dagger.client.gen as client

    source = inspect.getsource(client)
    selected = set(re.findall(r'_select\(\s*"(\w+)"', source))
    arguments = set(re.findall(r'Arg\(\s*"(\w+)"', source))
    kinds = objects(schema)
    strange = [f"{kind}.{field}" for kind, field in RESOLVERS if field not in selected | {"node", "sync"}]
    assert strange == []
    assert {arg for kind, field in RESOLVERS for arg in kinds[kind].fields[field].args} <= arguments | {"id"}


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded schema is not beside this checkout")
def test_the_schema_is_a_subset_of_the_recorded_one(schema: GraphQLSchema) -> None:
    recorded = build_schema(RECORDED.read_text())
    for name, kind in schema.type_map.items():
        if name.startswith("__"):
            continue
        assert name in recorded.type_map, name
        if not isinstance(kind, GraphQLObjectType):
            continue
        theirs = recorded.type_map[name]
        assert isinstance(theirs, GraphQLObjectType)
        for field_name, field in kind.fields.items():
            if name == "Query" and re.fullmatch(r"load\w+FromID", field_name):
                continue  # of the client's own, hidden in the recorded schema
            other = theirs.fields[field_name]
            assert str(field.type) == str(other.type), f"{name}.{field_name}"
            assert {n: (str(a.type), a.default_value) for n, a in field.args.items()} == {
                n: (str(a.type), a.default_value) for n, a in other.args.items()
            }, f"{name}.{field_name}"


def test_the_schema_file_says_nothing_of_its_own() -> None:
    """Names and types only: the texts are Dagger's."""
    assert '"""' not in SCHEMA_FILE.read_text()


def test_a_parsed_schema_is_kept_and_equal(tmp_path: Path) -> None:
    first = load_schema(tmp_path)
    assert list(tmp_path.iterdir())
    again = load_schema(tmp_path)
    assert print_type(first.type_map["Container"]) == print_type(again.type_map["Container"])
