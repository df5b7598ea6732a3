"""Queries are checked against the schema, and what differs in its texts alone is checked once."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import DocumentNode, GraphQLError, GraphQLSchema, build_schema, validate

from embedded.engine import queries
from embedded.engine.queries import Queries, shape_of
from embedded.engine.schema import valid_queries

SCHEMA = "enum Color { RED } type Query { say(text: String, count: Int, color: Color): Query me: String }"


class Checked:
    """Counts what is checked."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, schema: GraphQLSchema, document: DocumentNode) -> list[GraphQLError]:
        self.count += 1
        return validate(schema, document)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    counter = Checked()
    monkeypatch.setattr(queries, "validate", counter)
    return counter


async def refusals(asked: Queries, query: str) -> list[str]:
    result = await asked.run(query, "root", None, None, None)
    return [error.message for error in result.errors or ()]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Queries:
    async def resolve(source: object, info: object, /, **_: object) -> object:
        return source

    monkeypatch.setattr(queries, "resolve", resolve)
    return Queries(build_schema(SCHEMA))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('{ say(text: "a") { me } }', '{ say(text: "b c") { me } }'),
        (r'{ say(text: "a\" }") { me } }', r'{ say(text: "\\") { me } }'),
        ('{ say(text: """a "x" \n""") { me } }', '{ say(text: "b") { me } }'),
        ('{ say(text: "# no comment") { me } }', '{ say(text: "") { me } }'),
    ],
)
async def test_what_differs_in_its_texts_is_checked_once(
    asked: Queries, checked: Checked, first: str, second: str
) -> None:
    assert await refusals(asked, first) == []
    assert await refusals(asked, second) == []
    assert checked.count == 1


@pytest.mark.parametrize(
    ("valid", "invalid", "reason"),
    [
        ('{ say(text: "a") { me } }', '{ say(txt: "a") { me } }', "Unknown argument"),
        ('{ say(text: "a") { me } }', '{ say(text: "a") { you } }', "Cannot query field"),
        ("{ say(count: 1) { me } }", '{ say(count: "1") { me } }', "Int cannot represent"),
        ("{ say(color: RED) { me } }", "{ say(color: BLUE) { me } }", "does not exist in"),
        ('{ say(text: "a") { me } }', '{ say(color: "a") { me } }', "cannot represent"),
        (
            '{ say(text: "a") { me } say(text: "a") { me } }',
            '{ say(text: "a") { me } say(text: "b") { me } }',
            "conflict because they have differing arguments",
        ),
        ('{ say(text: "a") { me } }', '{ say(text: "a") { me }', "Syntax Error"),
        ('{ me # "\n }', '{ me # "\n you # "\n }', "Cannot query field"),
        ('{ me # """\n }', '{ me # """\n you """\n }', "Syntax Error"),
    ],
)
async def test_what_is_wrong_is_refused_though_a_like_one_was_right(
    asked: Queries, valid: str, invalid: str, reason: str
) -> None:
    assert await refusals(asked, valid) == []
    assert any(reason in message for message in await refusals(asked, invalid))
    assert any(reason in message for message in await refusals(asked, invalid))


def test_equal_texts_have_equal_numbers() -> None:
    assert shape_of('{ a(x: "p", y: "q", z: "p") }') == '{ a(x: "0", y: "1", z: "0") }'


def test_the_shape_of_a_query_with_a_comment_is_not_told() -> None:
    assert shape_of('{ a # "\n }') is None


@pytest.mark.usefixtures("asked")
async def test_what_was_valid_is_not_checked_in_later_sessions(checked: Checked, tmp_path: Path) -> None:
    known = tmp_path / "folder" / "queries.txt"
    for number in range(3):
        asked = Queries(build_schema(SCHEMA), known=known)
        assert await refusals(asked, f'{{ say(text: "{number}") {{ me }} }}') == []
        assert await refusals(asked, "{ say(count: 1) { me } }") == []
        assert await refusals(asked, "{ nothing }") == ["Cannot query field 'nothing' on type 'Query'."]
        assert checked.count == 2 + 1 + number  # what is refused is refused by a check


@pytest.mark.parametrize("text", ["", "00\n", "\xff"])
@pytest.mark.usefixtures("asked")
async def test_a_file_that_knows_nothing_is_no_trouble(text: str, checked: Checked, tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_bytes(text.encode("latin-1"))
    asked = Queries(build_schema(SCHEMA), known=tmp_path / "queries.txt")
    assert await refusals(asked, "{ me }") == []
    assert checked.count == 1


@pytest.mark.usefixtures("asked")
async def test_a_file_that_can_not_be_written_is_no_trouble(checked: Checked, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for _ in range(2):
        asked = Queries(build_schema(SCHEMA), known=tmp_path / "file" / "queries.txt")
        assert await refusals(asked, "{ me }") == []
    assert checked.count == 2


@pytest.mark.usefixtures("asked")
async def test_the_file_does_not_grow_for_ever(checked: Checked, tmp_path: Path) -> None:
    known = tmp_path / "queries.txt"
    known.write_text("x" * queries.LARGEST)
    await refusals(Queries(build_schema(SCHEMA), known=known), "{ me }")
    assert known.stat().st_size == 65
    await refusals(Queries(build_schema(SCHEMA), known=known), "{ me }")
    assert checked.count == 1


def test_each_schema_has_a_file_of_its_own(tmp_path: Path) -> None:
    files = {valid_queries(tmp_path), valid_queries(tmp_path, "type A { b: Int }"), valid_queries(tmp_path, "type C")}
    assert len(files) == 3
