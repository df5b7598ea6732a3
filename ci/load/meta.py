"""Values of the META partition, which Talos reads before its configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ci.common.values import Value


class Meta(Value):
    """A value in the META partition. Keys 0x0a to 0x0c and the user's own are Talos's to explain."""

    key: Annotated[int, Field(ge=0, le=255)]
    value: str
