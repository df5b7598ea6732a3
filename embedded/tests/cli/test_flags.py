"""The grammar of flags, as pflag has it."""

from __future__ import annotations

import pytest

from embedded.cli import values
from embedded.cli.flags import Flag, FlagError, FlagSet


@pytest.fixture
def flags() -> FlagSet:
    return FlagSet(
        [
            Flag("name", values.scalar("string", str), required=True),
            Flag("n", values.scalar("int", values.parse_int)),
            Flag("loud", values.scalar("", values.parse_bool, False, bare="true"), shorthand="l"),
            Flag("output", values.scalar("string", str, ""), shorthand="o"),
            Flag("verbose", values.count(), shorthand="v"),
            Flag("docker-config", values.many("strings", values.split_csv, str)),
        ]
    )


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (["--name", "x"], "name", "x"),
        (["--name=x"], "name", "x"),
        (["--name="], "name", ""),
        (["--name", "--loud"], "name", "--loud"),
        (["--n", "-3"], "n", -3),
        (["--loud"], "loud", True),
        (["--loud=false"], "loud", False),
        (["-l"], "loud", True),
        (["-l=0"], "loud", False),
        (["-o", "x"], "output", "x"),
        (["-ox"], "output", "x"),
        (["-o=x"], "output", "x"),
        (["-lo", "x"], "output", "x"),
        (["-vv", "--verbose"], "verbose", 3),
        (["--verbose=7"], "verbose", 7),
        (["--dockerConfig", "a", "--docker_config", "b,c"], "docker-config", ["a", "b", "c"]),
        (["--name", "a", "--name", "b"], "name", "b"),
    ],
)
def test_a_flag_takes_its_value(args: list[str], name: str, value: object, flags: FlagSet) -> None:
    assert flags.parse(args, interspersed=False) == []
    assert flags[name].value.get() == value


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--nam", "x"], "unknown flag: --nam"),
        (["--nam=x"], "unknown flag: --nam"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-lx"], "unknown shorthand flag: 'x' in -lx"),
        (["--name"], "flag needs an argument: --name"),
        (["-lo"], "flag needs an argument: 'o' in -lo"),
        (["--=x"], "bad flag syntax: --=x"),
        (["---x"], "bad flag syntax: ---x"),
        (["--n", "x"], 'invalid argument "x" for "--n" flag: not a whole number'),
        (["-l=x"], 'invalid argument "x" for "-l, --loud" flag: allowed are true and false'),
    ],
)
def test_what_is_no_flag_is_refused(args: list[str], reason: str, flags: FlagSet) -> None:
    with pytest.raises(FlagError) as caught:
        flags.parse(args, interspersed=False)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("args", "interspersed", "rest"),
    [
        (["--loud", "word", "--nam"], False, ["word", "--nam"]),
        (["word", "--loud", "more"], True, ["word", "more"]),
        (["--loud", "--", "--nam"], False, ["--nam"]),
        (["word", "--", "--nam"], True, ["word", "--nam"]),
        (["-", "x"], False, ["-", "x"]),
        (["", "x"], False, ["", "x"]),
    ],
)
def test_words_are_left(args: list[str], interspersed: bool, rest: list[str], flags: FlagSet) -> None:
    assert flags.parse(args, interspersed=interspersed) == rest


def test_a_first_pass_skips_unknown_flags_and_their_values(flags: FlagSet) -> None:
    args = ["--greeting", "hi", "-z", "value", "--other=x", "-zl", "--name", "n", "call", "--unknown", "-o", "out"]

    assert flags.parse(args, interspersed=True, skip_unknown=True) == ["call"]
    assert flags["name"].value.get() == "n"
    assert flags["output"].value.get() == "out"
    assert flags["loud"].value.get() is True


def test_required_flags_that_are_missing_are_named(flags: FlagSet) -> None:
    assert flags.missing() == ["name"]
    flags.parse(["--name="], interspersed=False)
    assert flags.missing() == []


def test_the_first_flag_of_a_name_hides_others() -> None:
    own = Flag("output", values.scalar("int", values.parse_int))
    flags = FlagSet([own, Flag("output", values.scalar("string", str), shorthand="o")])

    flags.parse(["--output", "3"], interspersed=False)

    assert own.value.get() == 3
    with pytest.raises(FlagError, match="unknown shorthand flag: 'o' in -o"):
        flags.parse(["-o", "x"], interspersed=False)
