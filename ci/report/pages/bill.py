"""The SBOM as a table, and the licences that it names for each extension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Rows of the table; the rest is counted.
_MOST: Final = 2000
#: Where there is no statement, SPDX says so.
_NOTHING: Final = ("NOASSERTION", "NONE", "")
_ROOT: Final = "SPDXRef-Package-assets"


@dataclass(frozen=True)
class Package:
    """One row."""

    name: str
    version: str
    licence: str
    #: What it is a part of: Talos, the kernel, an extension.
    owner: str


@dataclass(frozen=True)
class Bill:
    """The SBOM's packages, and licences by the name of what they are parts of."""

    packages: tuple[Package, ...]
    #: Packages that are in the SBOM and not in the table.
    more: int
    licences: Mapping[str, tuple[str, ...]]


def make_bill(document: Mapping[str, Any]) -> Bill:
    """Return the table of an SPDX document that this project wrote."""
    listed: list[dict[str, Any]] = document["packages"]
    below: dict[str, list[str]] = {}
    for relation in document["relationships"]:
        below.setdefault(relation["spdxElementId"], []).append(relation["relatedSpdxElement"])
    names = {one["SPDXID"]: str(one.get("name", "")) for one in listed}
    owners: dict[str, str] = {}
    for owner in below.get(_ROOT, []):
        waiting = [owner]
        while waiting:
            one = waiting.pop()
            if one not in owners and one in names:
                owners[one] = names.get(owner, "")
                waiting += below.get(one, [])
    packages = [_package(one, owners.get(one["SPDXID"], "")) for one in listed if one["SPDXID"] != _ROOT]
    licences: dict[str, dict[str, None]] = {}
    for package in packages:
        if package.licence:
            licences.setdefault(package.owner, {})[package.licence] = None
    ordered = sorted(packages, key=lambda one: (one.owner, one.name, one.version))
    return Bill(
        tuple(ordered[:_MOST]),
        max(len(ordered) - _MOST, 0),
        {name: tuple(sorted(found)) for name, found in licences.items()},
    )


def _package(one: Mapping[str, Any], owner: str) -> Package:
    said = [str(one.get(key) or "") for key in ("licenseConcluded", "licenseDeclared")]
    licence = next((text for text in said if text not in _NOTHING), "")
    return Package(str(one.get("name", "")), str(one.get("versionInfo") or ""), licence, owner)
