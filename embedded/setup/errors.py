"""What set-up raises."""

from __future__ import annotations

from embedded.errors import ExplainedError


class SetupError(ExplainedError):
    """Set-up cannot go on."""
