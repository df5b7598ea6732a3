"""The machine configuration that a boot is given: the user's own, or a patch that is completed here.

Talos takes only a whole configuration. What `machine-config` writes is a patch, so a boot puts it on top of a worker's
configuration that serves nothing else: its tokens are public, and its cluster does not exist. Maps are merged,
lists are joined and documents of other kinds are added, as Talos's own patcher does
(pkg/machinery/config/configpatcher).
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, cast

import yaml

from ci.common.errors import BootError, FileError
from ci.common.yamltext import check_events

#: The option that takes it.
OPTION: Final = "--machine-config"
_DEEPEST: Final = 100
#: Where it is below the assets' folder.
PATH: Final = "machine-config.yaml"
#: Characters.
MOST: Final = 4 << 20
#: MiB of a machine that gets a configuration: it starts cri, and the services of extensions.
MEMORY: Final = 3072
#: The kernel argument that says where Talos finds its configuration.
ARGUMENT: Final = "talos.config"

Document: TypeAlias = dict[str, Any]

#: A worker needs a CA certificate. The key of this one was not kept, so nothing can be signed with it.
_CERTIFICATE: Final = (
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJoakNDQVRpZ0F3SUJBZ0lVRkZQVldDNTQweTBKMk51dGF6cW9XdTN4SFlN"
    "d0JRWURLMlZ3TUI4eEhUQWIKQmdOVkJBb01GR052ZW5semRHRmpheTEwWVd4dmN5QmliMjkwTUNBWERUSTJNVEV5T0RJeE1UZ3dN"
    "Rm9ZRHpJeApNall4TVRBME1qRXhPREF3V2pBZk1SMHdHd1lEVlFRS0RCUmpiM3A1YzNSaFkyc3RkR0ZzYjNNZ1ltOXZkREFxCk1B"
    "VUdBeXRsY0FNaEFMZjE4ZEIzc0F1RmdBMlRKMUZxSGZWRkdkVVNIK2svVWFHd013alI5QlVRbzRHRE1JR0EKTUIwR0ExVWREZ1FX"
    "QkJUM2swRTF0VkpvM3lSWGY0eW5udHNFamtVeHJEQWZCZ05WSFNNRUdEQVdnQlQzazBFMQp0VkpvM3lSWGY0eW5udHNFamtVeHJE"
    "QVBCZ05WSFJNQkFmOEVCVEFEQVFIL01BNEdBMVVkRHdFQi93UUVBd0lDCmhEQWRCZ05WSFNVRUZqQVVCZ2dyQmdFRkJRY0RBUVlJ"
    "S3dZQkJRVUhBd0l3QlFZREsyVndBMEVBb01GZFVnU2sKRU9oYUJQb1lLOHhNZUVhR05VTWI5RURqVHpCNlhLSWkvRzZXREF5TEhj"
    "NHh4V3JFV0tLYmgzVW9pZlJVM3RGMwpkd3lMNmZYbmRrK2NBUT09Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K"
)
#: What a worker needs at least (pkg/machinery/config/types/v1alpha1). Without a network it can't wait for the time.
_WORKER: Final[Document] = {
    "version": "v1alpha1",
    "debug": False,
    "persist": True,
    "machine": {
        "type": "worker",
        "token": "aaaaaa.aaaaaaaaaaaaaaaa",
        "ca": {"crt": _CERTIFICATE, "key": ""},
        "install": {"disk": "/dev/vda", "wipe": False},
        "time": {"disabled": True},
        "kubelet": {},
        "network": {},
    },
    "cluster": {
        "id": "YXJlLXRoZXNlLWJ5dGVzLWEtY2x1c3Rlci1vci1uby4=",
        "secret": "dGhlc2UtYnl0ZXMtYXJlLW5vLXNlY3JldC1hdC1hbGw=",
        "controlPlane": {"endpoint": "https://10.0.2.2:6443"},
        "clusterName": "boot",
        "token": "aaaaaa.aaaaaaaaaaaaaaaa",
        "ca": {"crt": _CERTIFICATE, "key": ""},
        "discovery": {"enabled": False},
    },
}


def check_size(characters: int, name: str = OPTION) -> None:
    """Raise `BootError` for a file that is too large to be a node's configuration; `characters` may be its bytes."""
    if characters > MOST:
        raise BootError(f"{name}: more than {MOST >> 20} MiB: give one node's machine configuration")


def parse_machine_config(text: str, name: str = OPTION) -> list[Document]:
    """Read the documents of a machine configuration or of a patch; raises `BootError` for anything else."""
    check_size(len(text), name)
    try:
        check_events(text, name, FileError, _DEEPEST)
        documents: list[Any] = [document for document in yaml.safe_load_all(text) if document is not None]
    except FileError as error:
        raise BootError(str(error)) from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        # The safe loader's constructors fail in all these ways on values that do not fit their tag.
        raise BootError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    if not documents:
        raise BootError(f"{name}: the file is empty: {_GIVE}")
    for document in documents:
        if not isinstance(document, dict):
            raise BootError(f"{name}: a document is a {type(document).__name__} and not a map: {_GIVE}")
    found: list[Document] = documents
    _check_nodes(found, name)
    return found


def _check_nodes(found: list[Document], name: str) -> None:
    nodes = [document for document in found if "kind" not in document]
    if len(nodes) > 1:
        raise BootError(f"{name}: {len(nodes)} documents without a kind: one of them can be a node's configuration")
    for document in nodes:
        if unknown := sorted(str(key) for key in set(document) - _KEYS):
            raise BootError(f"{name}: {unknown[0]!r} is no key of a machine configuration: {_GIVE}")
        for key in ("machine", "cluster"):
            if document.get(key) is not None and not isinstance(document[key], dict):
                raise BootError(f"{name}: {key} is a {type(document[key]).__name__} and not a map")


_KEYS: Final = {"version", "debug", "persist", "machine", "cluster"}
_GIVE: Final = "give a node's machine configuration, or node.yaml as machine-config writes it"


def complete(text: str, name: str = OPTION) -> str:
    """Return a configuration that Talos takes: a whole one, with type and cluster, as it is, a patch on a worker's."""
    documents = parse_machine_config(text, name)
    nodes = [document for document in documents if "kind" not in document]
    node: Document = nodes[0] if nodes else {}
    machine: Document = node.get("machine") or {}
    if machine.get("type") and node.get("cluster"):
        return text
    others = [document for document in documents if "kind" in document]
    return yaml.safe_dump_all([_merged(_WORKER, node), *others], sort_keys=False)


def _merged(base: Document, patch: Document) -> Document:
    return {**base, **{key: _value(base.get(key), value) for key, value in patch.items()}}


def _value(base: Any, patch: Any) -> Any:
    match base, patch:
        case dict(), dict():
            return _merged(cast("Document", base), cast("Document", patch))
        case list(), list():
            return [*cast("list[Any]", base), *cast("list[Any]", patch)]
        case _:
            return base if patch is None else patch


def without_configuration(cmdline: str) -> str:
    """Return kernel arguments without those that name another configuration; Talos takes the first."""
    return " ".join(word for word in cmdline.split() if word.partition("=")[0] != ARGUMENT)
