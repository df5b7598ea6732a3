"""What the lab raises."""

from __future__ import annotations

from embedded.errors import ExplainedError


class LabError(ExplainedError):
    """The lab cannot go on."""
