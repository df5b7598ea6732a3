"""BuildKit's life: a daemon that starts on demand, is shared by calls, and goes when it has been idle.

A call holds a `lease` while it works. The daemon belongs to a supervisor process of its own (`supervisor.py`), which
ends it after ten idle minutes. Two modes have two daemons with separate caches: what is made from stand-in images
(`lab`) never meets what is made from the real ones (`real`).
"""

from __future__ import annotations

from embedded.engine.life.leases import Lease, lease
from embedded.engine.life.trust import ca_bundle

__all__ = ["Lease", "ca_bundle", "lease"]
