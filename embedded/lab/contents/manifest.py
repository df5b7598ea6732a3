"""The text files of an extension image: manifest, SPDX document, containerd configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from embedded.lab.oci import EPOCH

AUTHOR = "cozystack-talos lab"


@dataclass(frozen=True)
class Manifest:
    """What an extension's `/manifest.yaml` says."""

    name: str
    version: str
    tier: str
    what: str
    """The end of its description, after the words that every one of the lab has."""
    talos: str = ">= v1.0.0"
    """Which Talos versions it fits."""

    @property
    def description(self) -> str:
        """The description, one line."""
        return f"[{self.tier}] STAND-IN: {self.what}"

    def text(self) -> str:
        """Return the file's text, in the form of Talos's own extensions."""
        return (
            "version: v1alpha1\n"
            "metadata:\n"
            f"  name: {self.name}\n"
            f'  version: "{self.version}"\n'
            f"  author: {AUTHOR}\n"
            "  description: |\n"
            f"    {self.description}\n"
            "  compatibility:\n"
            "    talos:\n"
            f'      version: "{self.talos}"\n'
        )


def spdx(name: str, version: str, licence: str) -> str:
    """Return a minimal SPDX 2.3 document for one package."""
    package = {
        "name": name,
        "SPDXID": "SPDXRef-Package",
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseDeclared": licence,
        "comment": "STAND-IN of the cozystack-talos lab",
    }
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://cozystack-talos.invalid/spdx/{name}-{version}",
        "creationInfo": {
            "created": datetime.fromtimestamp(EPOCH, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: cozystack-talos-lab"],
        },
        "packages": [package],
    }
    return json.dumps(document, indent=2) + "\n"


def runtime(name: str, kind: str, options: Mapping[str, str] | None = None) -> str:
    """Return containerd's configuration of a runtime (`kind`: its runtime_type), as Talos merges it."""
    table = f'plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{name}'
    text = f'[{table}]\n  runtime_type = "{kind}"\n'
    if options:
        text += f"\n[{table}.options]\n" + "".join(f'  {key} = "{value}"\n' for key, value in options.items())
    return text
