"""Whatever two files hold: a difference, or none, and never anything else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.compare.differences import first_difference
from ci.inspect.source import BytesSource
from tests.unit.compare.test_differences import GOOD

EDIT = st.tuples(st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=8))


@pytest.mark.parametrize("kind", [kind for kind in GOOD if kind != "disk"])
def test_any_two_files_that_differ_have_a_difference(kind: str) -> None:
    good = GOOD[kind]

    @settings(derandomize=True, max_examples=40, deadline=None, database=None)
    @given(edits=st.lists(EDIT, min_size=1, max_size=4), cut=st.one_of(st.none(), st.integers(0, len(good))))
    def run(edits: list[tuple[int, bytes]], cut: int | None) -> None:
        data = bytearray(good)
        for position, new in edits:
            at = position % len(good)
            data[at : at + len(new)] = new[: len(data) - at]
        other = bytes(data[:cut])
        found = first_difference(BytesSource("one", good), BytesSource("other", other))
        assert (found is None) == (other == good)
        back = first_difference(BytesSource("one", other), BytesSource("other", good))
        assert (back is None) == (found is None)

    run()
