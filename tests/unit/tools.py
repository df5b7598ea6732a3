"""Programs of others that the readers are held against."""

from __future__ import annotations

import shutil

import pytest


def needs(tool: str) -> pytest.MarkDecorator:
    """Skip a test where a program is missing; under CI=true that is a failure (tests/conftest.py)."""
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not on this machine")
