"""A test that is skipped is a failure where CI=true, in the folders of what is built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
TEST = "import pytest\n@pytest.mark.skipif(True, reason='no cpio')\ndef test_it() -> None: ...\n"


@pytest.mark.parametrize(("ci", "folder", "code"), [("true", "unit", 1), ("true", "vendors", 0), ("", "unit", 0)])
def test_a_skipped_test_fails_in_ci(tmp_path: Path, ci: str, folder: str, code: int) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / "conftest.py").write_text((TOP / "tests/conftest.py").read_text())
    (tmp_path / folder / "test_it.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path]
    environment = os.environ | {"CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout
    assert ("CI=true does not allow" in done.stdout) is (code == 1)
