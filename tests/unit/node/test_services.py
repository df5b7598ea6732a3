"""Extension services: what the published service files wait for, and what is said where nothing meets it."""

from __future__ import annotations

import pytest

from ci.common.errors import FileError
from ci.node.documents import comment
from ci.node.services import Service, parse_service, unmet

#: Dependencies as in the service files of Talos v1.11.3 and v1.13.6 (siderolabs/extensions).
TAILSCALE = """\
name: tailscale
depends:
  - service: cri
  - network:
    - addresses
    - connectivity
    - etcfiles
  - configuration: true
container:
  entrypoint: /usr/local/bin/containerboot
restart: always
"""
ZFS = """\
name: zfs-service
depends:
  - service: udevd
  - service: cri
  - path: /dev/zfs
container:
  entrypoint: /zfs-service
restart: untilSuccess
"""


def test_a_service_file_is_read() -> None:
    assert parse_service("a.yaml", TAILSCALE) == Service("a.yaml", "tailscale", (), ("cri",), configuration=True)
    assert parse_service("b.yaml", ZFS) == Service("b.yaml", "zfs-service", ("/dev/zfs",), ("udevd", "cri"))


def test_an_environment_file_is_waited_for_like_a_path() -> None:
    text = "name: old\ncontainer: {entrypoint: /x, environmentFile: /var/etc/old.env}\nrestart: always\n"
    assert parse_service("a.yaml", text).paths == ("/var/etc/old.env",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("depends: []\n", "zfs:/a.yaml:1: 'name' is missing"),
        ("name: x\ndepends:\n  - path: [a]\n", "zfs:/a.yaml:3: depends[0].path: a text is expected, not a list"),
        ("name: [\n", "zfs:/a.yaml:2: not YAML: "),
        ('name: "a\\nb"\n', "zfs:/a.yaml:1: name: string should match pattern"),
        ("name: ../../evil\n", "zfs:/a.yaml:1: name: string should match pattern"),
        ('name: x\ndepends:\n  - path: "/x\\nmachine:\\n  type: evil"\n',
         "zfs:/a.yaml:3: depends[0].path: '/x\\nmachine:\\n  type: evil' has control characters"),
        ('name: x\ndepends:\n  - service: "a\\u202eb"\n', "zfs:/a.yaml:3: depends[0].service: 'a\\u202eb' has control"),
        ('name: x\ncontainer:\n  environmentFile: "/a\\eb"\n', "zfs:/a.yaml:3: container.environmentFile: '/a\\x1bb'"),
        (f"name: x\ndepends:\n  - path: /{'x' * 5000}\n", "zfs:/a.yaml:3: depends[0].path: string should have at most"),
        ("", "zfs:/a.yaml: the file is empty"),
    ],
)  # fmt: skip
def test_a_service_file_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(FileError) as raised:
        parse_service("zfs:/a.yaml", text)
    assert str(raised.value).startswith(message)


SERVICES = (parse_service("tailscale:/a.yaml", TAILSCALE), parse_service("zfs:/b.yaml", ZFS))


def test_what_is_provided_and_configured_is_met() -> None:
    assert list(unmet(SERVICES, ["/dev/zfs"], ["tailscale"])) == []


def test_a_path_that_nothing_provides_is_named() -> None:
    assert list(unmet(SERVICES, ["/dev/zfs0"], ["tailscale"])) == [
        (
            "zfs:/b.yaml: service zfs-service waits for /dev/zfs, which nothing provides: add the kernel module that "
            "makes it, with `provides: [/dev/zfs]`, to configuration.kernelModules, or, where the machine itself has "
            "it, add it to configuration.paths"
        )
    ]


def test_a_service_without_its_document_is_named() -> None:
    """A document for another service, or for the extension, is none for this one."""
    assert list(unmet(SERVICES, ["/dev/zfs"], ["ext-tailscale", "zfs-service"])) == [
        (
            "tailscale:/a.yaml: service tailscale waits for an ExtensionServiceConfig document: add tailscale to "
            "configuration.extensionServices"
        )
    ]


def test_a_service_of_an_extension_that_is_not_there_is_named() -> None:
    statd = Service("nfs:/statd.yaml", "rpc-statd", services=("cri", "ext-rpcbind"))
    assert list(unmet([statd], [], [])) == [
        (
            "nfs:/statd.yaml: service rpc-statd waits for the service ext-rpcbind, which no extension of the image "
            "has: add the extension that brings it"
        )
    ]
    assert list(unmet([statd, Service("nfs:/rpcbind.yaml", "rpcbind")], [], [])) == []


def test_what_every_talos_node_has_is_met() -> None:
    agent = Service("a", "metal-agent", paths=("/system/run/machined/machine.sock", "/etc/ssl/certs"))
    assert list(unmet([agent], [], [])) == []


def test_all_that_is_missing_is_said_at_once() -> None:
    assert len(list(unmet(SERVICES, [], []))) == 2


def test_a_comment_holds_nothing_that_ends_it() -> None:
    assert comment(["a\x1b[2J\u202eb\nc\u2028d\x85e"]) == "# a\\x1b[2J\\u202eb\n# c\n# d\n# e\n"
