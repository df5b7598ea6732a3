"""What to do where an engine refuses a privileged run, or one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagger

from ci.common.errors import BuildError

if TYPE_CHECKING:
    from ci.plan.model import PlannedOutput


def unprivileged(error: dagger.QueryError, output: PlannedOutput) -> Exception:
    """Return an error of a privileged run with what can be done about it, any other error as it is."""
    if output.privileged is None:
        return error
    ways_out = f"build for a CozyStack release with Talos v1.13 or newer, or leave {output.name} out"
    if isinstance(error, dagger.ExecError):
        return BuildError(
            f"{output.name}: the imager failed, with exit code {error.exit_code}: {error.stderr.strip()}\n"
            f"It ran privileged, because {output.privileged}. Where the engine's machine has no loop devices to give "
            f"(rootless engines, some virtual machines), {ways_out}"
        )
    if "security.insecure" not in str(error):
        return error
    return BuildError(
        f"{output.name}: the engine refuses privileged steps, and this output needs one, because {output.privileged}. "
        "Allow them in the engine's configuration (Dagger: security.insecureRootCapabilities in engine.json; BuildKit: "
        f"insecure-entitlements in buildkitd.toml), {ways_out}"
    )
