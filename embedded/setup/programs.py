"""Which programs set-up provides, and what brings each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["engine", "lab"]

GO_PROGRAMS: dict[str, str] = {
    "buildkitd": "./buildkitd",
    "registry": "./registry",
    "exec-helper": "./exec",
    "session-helper": "./session",
}
"""Program → folder of its Go package beside embedded/tools/go.mod."""

DEV_PROGRAMS: dict[str, str] = {
    "buildctl": "github.com/moby/buildkit/cmd/buildctl",
    "crane": "github.com/google/go-containerregistry/cmd/crane",
}
"""What only the tests need: program → Go package, a `tool` of embedded/tools/go.mod."""


@dataclass(frozen=True)
class Program:
    """A program that the machine has, or that a Debian package brings."""

    package: str
    """The Debian package."""
    path: str
    """Where that package puts the program."""
    group: Group = "engine"
    """What needs it: every call, or `--lab` alone."""
    arguments: tuple[str, ...] = ()
    """What goes before the caller's own arguments, for a program that is one of many in its file."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables it needs when unpacked: `{root}` is that folder, `{libraries}` and `{perl}` are library folders."""
    bare: bool = False
    """It needs no library but those that every Debian has, so it is started as it is."""
    folders: tuple[str, ...] = ()
    """Where the machine may have it; PATH if empty."""
    beside: tuple[str, ...] = ()
    """What must lie in the same folder: that folder is what counts, and PATH must not show it."""
    fallback: str = ""
    """Another file of the package that does the same, used when `path` fails with `probe`."""
    probe: tuple[str, ...] = ()
    """Arguments that try it without changing a thing."""


def _iptables(name: str) -> Program:
    return Program(
        "iptables",
        "/usr/sbin/xtables-nft-multi",
        arguments=(name,),
        environment=(("XTABLES_LIBDIR", "{libraries}/xtables"),),
        fallback="/usr/sbin/xtables-legacy-multi",  # for kernels without nftables
        probe=("-t", "nat", "-S"),
    )


PROGRAMS: dict[str, Program] = {
    "runc": Program("runc", "/usr/sbin/runc", bare=True),
    "iptables": _iptables("iptables"),
    "ip6tables": _iptables("ip6tables"),
    "bridge": Program(
        "containernetworking-plugins",
        "/usr/lib/cni/bridge",
        folders=("/usr/lib/cni", "/opt/cni/bin"),
        beside=("firewall", "host-local", "loopback", "portmap"),
        bare=True,
    ),
    "git": Program(
        "git",
        "/usr/bin/git",
        environment=(
            ("GIT_EXEC_PATH", "{root}/usr/lib/git-core"),
            ("GIT_TEMPLATE_DIR", "{root}/usr/share/git-core/templates"),
        ),
    ),
    "mmdebstrap": Program("mmdebstrap", "/usr/bin/mmdebstrap", group="lab", environment=(("PERL5LIB", "{perl}"),)),
}
"""Program → what brings it. BuildKit runs runc, git, and the network plugins beside `bridge`, which run iptables."""
