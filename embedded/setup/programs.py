"""Which programs set-up provides, and what brings each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["engine", "lab"]

GO_PROGRAMS: dict[str, str] = {
    "buildkitd": "github.com/moby/buildkit/cmd/buildkitd",
    "buildctl": "github.com/moby/buildkit/cmd/buildctl",
    "crane": "github.com/google/go-containerregistry/cmd/crane",
    "registry": "github.com/google/go-containerregistry/cmd/registry",
    "exec-helper": "./exec",
    "session-helper": "./session",
}
"""Program → Go package: a `tool` of embedded/tools/go.mod, or a folder beside it."""


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
    """Variables it needs where it is unpacked; `{root}` is that folder, `{libraries}` its library folder."""
    folders: tuple[str, ...] = ()
    """Folders of the machine beside PATH that may hold it."""
    only_in_folders: bool = False
    """PATH is not looked at: a program of that name there would be something else."""
    static: bool = False
    """It finds its libraries without help: the package needs none but those that every Debian has."""


def _cni(name: str) -> Program:
    return Program(
        "containernetworking-plugins",
        f"/usr/lib/cni/{name}",
        folders=("/usr/lib/cni", "/opt/cni/bin"),
        only_in_folders=True,
        static=True,
    )


def _iptables(name: str) -> Program:
    return Program(
        "iptables",
        "/usr/sbin/xtables-nft-multi",
        arguments=(name,),
        environment=(("XTABLES_LIBDIR", "{libraries}/xtables"),),
    )


PROGRAMS: dict[str, Program] = {
    "runc": Program("runc", "/usr/sbin/runc", static=True),
    "iptables": _iptables("iptables"),
    "ip6tables": _iptables("ip6tables"),
    "bridge": _cni("bridge"),
    "firewall": _cni("firewall"),
    "host-local": _cni("host-local"),
    "loopback": _cni("loopback"),
    "portmap": _cni("portmap"),
    "git": Program(
        "git",
        "/usr/bin/git",
        environment=(
            ("GIT_EXEC_PATH", "{root}/usr/lib/git-core"),
            ("GIT_TEMPLATE_DIR", "{root}/usr/share/git-core/templates"),
        ),
    ),
    "mmdebstrap": Program("mmdebstrap", "/usr/bin/mmdebstrap", group="lab", static=True),
}
"""Program → what brings it. BuildKit runs runc, the network plugins (which run iptables) and git."""
