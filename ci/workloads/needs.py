"""What needs what in a checkout: CozyStack's bundles, the package sources in them, and the packages of those.

Since v1.0 bundles are templates (`core/platform/templates/bundles/*.yaml`) that name package sources
(`core/platform/sources/*.yaml`); before, they list releases of charts (`core/platform/bundles/*.yaml`), some of which
have sources of their own already.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import yaml

from ci.common.errors import UserError, nearest
from ci.workloads.loose import items, mapping
from ci.workloads.model import Bundle, Component, Member, Package, PackageSource, Variant, Workloads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PLATFORM: Final = "packages/core/platform"
_SOURCES: Final = re.compile(rf"{_PLATFORM}/sources/[^/]+\.yaml")
_BUNDLES: Final = re.compile(rf"{_PLATFORM}/templates/bundles/(?P<name>[^/]+)\.yaml")
_OLD_BUNDLES: Final = re.compile(rf"{_PLATFORM}/bundles/(?P<name>[^/]+)\.yaml")
_HELPERS: Final = f"{_PLATFORM}/templates/_helpers.tpl"
_ACTION: Final = re.compile(r"\{\{-?\s*(?P<inner>(?:/\*.*?\*/|.)*?)\s*-?\}\}", re.DOTALL)
_COMMENT: Final = re.compile(r"\{\{-?\s*/\*.*?\*/\s*-?\}\}", re.DOTALL)
_PACKAGE: Final = re.compile(
    r"include\s+\"cozystack\.platform\.package(?P<kind>[a-z.]*)\"\s+\(list\s+\"(?P<name>[^\"]+)\"(?:\s+\"(?P<variant>[^\"]+)\")?"
)
_COMMON: Final = re.compile(r"include\s+\"(?P<name>cozystack\.platform\.[a-z.-]+)\"\s+\$")
_VARIANT: Final = re.compile(r"eq\s+\.Values\.bundles\.system\.variant\s+\"(?P<name>[a-z-]+)\"")
_SYSTEM: Final = "system"

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def find_needs(
    files: Mapping[str, str], packages: Iterable[Package]
) -> tuple[tuple[PackageSource, ...], tuple[Bundle, ...]]:
    """Return the package sources and the bundles of a checkout, given as path → text."""
    known = tuple(packages)
    sources = [source for path, text in sorted(files.items()) if _SOURCES.fullmatch(path) for source in _sources(text)]
    bundles = list(_templated(files))
    old, releases = _listed(files, known)
    names = {source.name for source in sources}
    sources += [source for source in old if source.name not in names]
    taken = {component.package for source in sources for variant in source.variants for component in variant.components}
    # Applications of releases that describe no sources of their own.
    sources += [
        _alone(package.name, package.name, application=True)
        for package in known
        if package.name.startswith(("apps/", "extra/")) and package.name not in taken
    ]
    return tuple(sorted(sources, key=lambda source: source.name)), tuple(bundles + releases)


def _alone(name: str, package: str, needs: tuple[str, ...] = (), *, application: bool = False) -> PackageSource:
    variant = Variant(name="default", components=(Component(name=name, package=package),), needs=needs)
    return PackageSource(name=name, variants=(variant,), application=application)


def _documents(text: str) -> list[dict[str, Any]]:
    try:
        found: list[Any] = list(yaml.load_all(text, Loader=_Loader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    return [mapping(one) for one in found]


def _list(of: Any, key: str) -> list[Any]:
    return items(mapping(of).get(key))


def _sources(text: str) -> Iterator[PackageSource]:
    for document in _documents(text):
        spec = mapping(document.get("spec"))
        if document.get("kind") != "PackageSource" or not spec:
            continue
        variants = tuple(_source_variant(mapping(one)) for one in _list(spec, "variants"))
        packages = [component.package for variant in variants for component in variant.components]
        yield PackageSource(
            name=str(mapping(document.get("metadata")).get("name", "")),
            variants=variants,
            application=any(package.startswith(("apps/", "extra/")) for package in packages),
        )


def _source_variant(one: dict[str, Any]) -> Variant:
    components = tuple(
        Component(name=str(part.get("name", "")), package=str(part.get("path", "")).strip("/"))
        for part in map(mapping, _list(one, "components"))
    )
    needs = tuple(str(name) for name in _list(one, "dependsOn"))
    return Variant(name=str(one.get("name", "default")), components=components, needs=needs)


def _templated(files: Mapping[str, str]) -> Iterator[Bundle]:
    common = {name: _members(body) for name, body in _defined(files.get(_HELPERS, ""))}
    for path, text in sorted(files.items()):
        if not (match := _BUNDLES.fullmatch(path)):
            continue
        bare = _COMMENT.sub("", text)
        if match["name"] != _SYSTEM:
            yield Bundle(name=match["name"], members=_unique(_expanded(bare, common, None)))
            continue
        for variant in dict.fromkeys(found["name"] for found in _VARIANT.finditer(bare)):
            yield Bundle(name=variant, members=_unique(_expanded(bare, common, variant)))


def _defined(text: str) -> Iterator[tuple[str, str]]:
    bare = _COMMENT.sub("", text)
    for match in re.finditer(
        r"\{\{-?\s*define\s+\"(?P<name>[^\"]+)\"\s*-?\}\}(?P<body>.*?)(?=\{\{-?\s*define\s|\Z)", bare, re.DOTALL
    ):
        yield match["name"], match["body"]


def _members(text: str) -> list[Member]:
    return [_member(match) for match in _PACKAGE.finditer(text)]


def _member(match: re.Match[str]) -> Member:
    variant = (match["variant"] or "default") if not match["kind"].endswith(".default") else "default"
    return Member(source=match["name"], variant=variant, optional=".optional" in match["kind"])


def _expanded(text: str, common: Mapping[str, list[Member]], variant: str | None) -> Iterator[Member]:
    """Yield what a bundle's template names; of conditions, those on the system bundle's variant are decided."""
    ways: list[bool | None] = []
    for action in _ACTION.finditer(text):
        inner = action["inner"]
        word = inner.split(None, 1)[0] if inner else ""
        if word in ("if", "with", "range", "define"):
            ways.append(_decided(inner, variant) if word == "if" else None)
        elif word == "else" and ways:
            ways[-1] = None if ways[-1] is None else not ways[-1]
        elif word == "end" and ways:
            ways.pop()
        elif all(way is not False for way in ways):
            if match := _PACKAGE.search(inner):
                yield _conditional(_member(match), ways)
            elif match := _COMMON.search(inner):
                yield from common.get(match["name"], [])


def _conditional(member: Member, ways: list[bool | None]) -> Member:
    """Return a member as optional where settings that are off by themselves decide on it."""
    # the outermost condition is that the bundle is switched on
    depends = any(way is None for way in ways[1:])
    return member.model_copy(update={"optional": True}) if depends and not member.optional else member


def _decided(condition: str, variant: str | None) -> bool | None:
    names = {match["name"] for match in _VARIANT.finditer(condition)}
    if not names or variant is None or re.search(r"\bnot\b", condition):
        return None
    return variant in names


def _unique(members: Iterable[Member]) -> tuple[Member, ...]:
    found: dict[str, Member] = {}
    for member in members:
        known = found.get(member.source)
        if known is None or (known.optional and not member.optional):
            found[member.source] = member
    return tuple(found.values())


def _listed(files: Mapping[str, str], packages: tuple[Package, ...]) -> tuple[list[PackageSource], list[Bundle]]:
    """Return the releases that bundles before v1.0 list, as sources of one package each, and the bundles."""
    charts = {package.chart: package.name for package in packages}
    sources: dict[str, PackageSource] = {}
    bundles: list[Bundle] = []
    for path, text in sorted(files.items()):
        if not (match := _OLD_BUNDLES.fullmatch(path)):
            continue
        members: list[Member] = []
        for release in _releases(text):
            package = charts.get(str(release.get("chart", "")), "")
            name = str(release.get("name", ""))
            if not package or not name:
                continue
            source = f"{match['name']}/{name}"
            needs = tuple(f"{match['name']}/{need}" for need in _list(release, "dependsOn"))
            sources[source] = _alone(source, package, needs)
            members.append(Member(source=source, optional=bool(release.get("optional"))))
        bundles.append(Bundle(name=match["name"], members=tuple(members)))
    return list(sources.values()), bundles


def _releases(text: str) -> list[dict[str, Any]]:
    """Return a bundle's releases; its actions, which set values only, are left out."""
    kept: list[str] = []
    for line in text.splitlines():
        bare = _ACTION.sub("", line)
        if bare.strip() or not line.strip():
            kept.append(re.sub(r"\{\{.*?\}\}", "x", line) if "{{" in line else line)
    for document in _documents("\n".join(kept)):
        return [mapping(one) for one in _list(document, "releases")]
    return []


def only(found: Workloads, names: Iterable[str]) -> Workloads:
    """Return what belongs to some bundles: their members, the optional ones too, and all that these need.

    Raises `UserError` for a bundle that the checkout does not have.
    """
    known = {bundle.name: bundle for bundle in found.bundles}
    asked = [part.strip() for name in names for part in name.split(",") if part.strip()]
    choice = f"choose one of {', '.join(known)}" if known else "this checkout has no bundles"
    if not asked:
        raise UserError(f"--bundle names none: {choice}")
    for name in asked:
        if name not in known:
            close = nearest(name, known)
            raise UserError(f"unknown bundle {name!r}: {f'did you mean {close}? ' if close else ''}{choice}")
    sources = {source.name: source for source in found.sources}
    todo = [member.source for name in asked for member in known[name].members]
    kept: set[str] = set()
    while todo:
        name = todo.pop()
        if name in kept or name not in sources:
            continue
        kept.add(name)
        todo += [need for variant in sources[name].variants for need in variant.needs]
    chosen = tuple(source for source in found.sources if source.name in kept)
    packages = {part.package for source in chosen for variant in source.variants for part in variant.components}
    return found.model_copy(
        update={
            "packages": tuple(package for package in found.packages if package.name in packages),
            "sources": chosen,
            "bundles": tuple(bundle for bundle in found.bundles if bundle.name in asked),
        }
    )
