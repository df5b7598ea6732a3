"""The grammars of flag values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from embedded.cli import values
from embedded.cli.names import kebab

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.parse_bool, "1", True),
        (values.parse_bool, "T", True),
        (values.parse_bool, "False", False),
        (values.parse_int, "-3", -3),
        (values.parse_int, "+0x1F", 31),
        (values.parse_int, "010", 8),
        (values.parse_int, "0", 0),
        (values.parse_int, "1_000", 1000),
        (values.parse_int, "-9223372036854775808", -(2**63)),
        (values.parse_list_int, "010", 10),
        (values.parse_float, "1e3", 1000.0),
        (values.parse_float, ".5", 0.5),
        (values.parse_platform, "linux/arm64", "linux/arm64"),
        (values.parse_build_arg, "A=b=c", {"name": "A", "value": "b=c"}),
        (values.parse_port_forward, "80:8080", {"frontend": 80, "backend": 8080}),
        (values.parse_enum(["GREEN", "RED"]), "rEd", "RED"),
        (values.split_csv, "", []),
        (values.split_csv, "a", ["a"]),
        (values.split_csv, "a, b,", ["a", " b", ""]),
        (values.split_csv, '"a,b",c', ["a,b", "c"]),
        (values.split_csv, '"say ""hi""",x', ['say "hi"', "x"]),
        (values.split_csv, '"two\nlines"', ["two\nlines"]),
        (values.split_csv, "first\nsecond", ["first"]),
        (values.split_unquoted, "'a', \"b\"", ["a", "b"]),
        (values.split_commas, "1,2", ["1", "2"]),
    ],
)
def test_text_is_read_as_pflag_reads_it(parse: Callable[[str], Any], text: str, value: object) -> None:
    assert parse(text) == value


QUOTED = 'a value with quotation marks is quoted as a whole, each mark doubled: "say ""hi"""'


@pytest.mark.parametrize(
    ("parse", "text", "reason"),
    [
        (values.parse_bool, "yes", "allowed are true and false"),
        (values.parse_int, "1.5", "not a whole number"),
        (values.parse_int, "1__0", "not a whole number"),
        (values.parse_int, "9223372036854775808", "out of range: it has 64 bits"),
        (values.parse_list_int, "0x1", 'strconv.Atoi: parsing "0x1": invalid syntax'),
        (values.parse_float, "1,5", "not a number"),
        (values.parse_platform, "", "platform cannot be empty"),
        (values.parse_build_arg, "A", "A must be formatted as name=value"),
        (values.parse_build_arg, "=b", "=b cannot have an empty name"),
        (values.parse_port_forward, "80", 'portForward setting not in the form of frontend:backend: "80"'),
        (values.parse_port_forward, "80:x", 'portForward backend not a valid integer: "x"'),
        (values.parse_enum(["GREEN", "RED"]), "blue", "value should be one of GREEN,RED"),
        (values.split_csv, '{"a":1}', QUOTED),
        (values.split_csv, 'x,"open', QUOTED),
        (values.split_csv, '"a"b', QUOTED),
    ],
)
def test_bad_text_is_refused_with_the_reason(parse: Callable[[str], Any], text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        parse(text)
    assert str(caught.value) == reason


def test_current_platform_is_one_that_images_have() -> None:
    assert values.parse_platform("current") in ("linux/amd64", "linux/arm64")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("withExec", "with-exec"),
        ("platformOf", "platform-of"),
        ("asJSON", "as-json"),
        ("JSONData", "json-data"),
        ("snake_case", "snake-case"),
        ("with_2_things", "with-2-things"),
        ("sha256Sum", "sha-256-sum"),
        ("arm64", "arm-64"),
        ("A1", "a-1"),
        ("from", "from"),
        ("docker-config", "docker-config"),
    ],
)
def test_names_are_spelled_as_commands(name: str, command: str) -> None:
    assert kebab(name) == command
