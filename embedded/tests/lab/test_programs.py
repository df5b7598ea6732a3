from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from embedded.lab import golang


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("go"), reason="this machine has no Go")
def test_programs_pass_their_own_tests() -> None:
    environment = {**os.environ, "GOWORK": "off", "GOFLAGS": "-count=1", "CGO_ENABLED": "0"}
    for command in (["go", "vet", "./..."], ["go", "test", "./..."]):
        done = subprocess.run(
            command, cwd=golang.PROGRAMS, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
