"""Readers of Talos boot assets: what is really inside a kernel, an initramfs, an installer image, an ISO, a disk."""

from ci.inspect.errors import InspectError
from ci.inspect.inspect import inspect_path
from ci.inspect.limits import LIMITS, Limits
from ci.inspect.models import Inspection

__all__ = ["LIMITS", "InspectError", "Inspection", "Limits", "inspect_path"]
