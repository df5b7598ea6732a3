"""Image archives that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded.engine.api.layouts import unpack
from embedded.engine.errors import EngineError


def test_a_file_that_is_no_archive_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_text("not an archive")
    with pytest.raises(EngineError) as caught:
        unpack(tmp_path / "image.tar", tmp_path / "layout")
    assert str(caught.value) == (
        "the file image.tar is not an image archive: it is no tar archive, neither plain nor compressed"
    )
