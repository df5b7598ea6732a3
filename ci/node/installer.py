"""References of installer images: whether one may be this variant's, by its name.

A node installs and upgrades to what the reference names. One without the variant's extensions leaves the node without
them, and one with others makes it wait for a configuration that nobody gives it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ci.common.arch import Arch
from ci.common.errors import ReferenceSyntaxError, UserError
from ci.common.references import parse_reference
from ci.plan.images import KINDS, variant_of
from ci.report.schematic import official_name, schematic, schematic_id
from ci.resolve.model import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci.common.references import Reference
    from ci.plan.model import Plan

_INSTALLER: Final = KINDS["installer"].repository
#: Repositories of this project that hold something else than an installer; CozyStack's have the same names.
_NOT_INSTALLERS: Final = {kind.repository: kind.title for kind in KINDS.values() if kind.repository != _INSTALLER}

#: What Sidero Labs publishes, by the last part of the repository's name; mirrors keep the part before it.
_SIDERO: Final = "siderolabs"
_SIDEROS: Final = {
    "installer": "is Talos's own installer, without any extension",
    "installer-base": "is the base of an installer, without kernel and initramfs",
    "imager": "is the imager, which makes images and installs nothing",
}
_COZYSTACK: Final = re.compile(
    r"(?:^|/)(?:cozystack|aenix-io)/cozystack/talos$|^ghcr\.io/(?:cozystack|aenix-io)/talos$"
)

#: A schematic's id, with which the Image Factory's repositories end.
_SCHEMATIC: Final = re.compile(r"[0-9a-f]{64}")
_SECURE: Final = "-secureboot"

_TALOS: Final = r"v\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.\d+)?"
_VERSION: Final = re.compile(rf"(?:^|-)({_TALOS})(?=$|-)")


def parse_installer(text: str | None, variant: str, variants: Iterable[str]) -> Reference | None:
    """Read the reference of a variant's installer image, by tag or digest; `variants` are the names of all.

    Raises `UserError` for a text that is not a reference, and for a tag that names another variant.
    """
    if text is None:
        return None
    try:
        reference = parse_reference(text)
    except ReferenceSyntaxError as error:
        raise UserError(f"--installer: {error}; give the reference that publish prints") from None
    if reason := _of_another_variant(reference, variant, variants):
        raise UserError(f"--installer: {reason}")
    return reference


def check_installer(reference: Reference, plan: Plan) -> tuple[str, ...]:
    """Return what its name leaves open, as warnings. Raises `UserError` for what can't be the plan's."""
    if reasons := list(mistakes(reference, plan)):
        raise UserError("\n".join(f"--installer: {reason}" for reason in reasons))
    return tuple(f"--installer: {text}" for text in open_questions(reference, plan))


def _of_another_variant(reference: Reference, variant: str, variants: Iterable[str]) -> str | None:
    named = variant_of(reference.tag or "", variants)
    if named in (None, variant):
        return None
    return (
        f"{reference} is the installer of {named}, and these patches are for nodes of {variant}: they do "
        f"not give its extensions what these wait for. Give the reference that `publish --variant {variant}` prints"
    )


def mistakes(reference: Reference, plan: Plan, variants: Iterable[str] = ()) -> Iterator[str]:
    """Yield why a reference can't be the installer of the plan's variant."""
    if reason := _of_another_variant(reference, plan.variant, variants):
        yield reason
    way = f"give the reference that `publish --variant {plan.variant}` prints"
    if reference.namespace.rsplit("/", 1)[-1] == _SIDERO:
        what = _SIDEROS.get(reference.name, "is not an installer")
        yield f"{reference} {what}: the node would be without {_listed(plan)}; {way}"
    elif reference.name in _NOT_INSTALLERS:
        yield f"{reference} is not an installer ({_NOT_INSTALLERS[reference.name]}): {way}"
    elif _COZYSTACK.search(reference.repository):
        yield from (f"{reference} is CozyStack's own image, {reason}: {way}" for reason in _not_cozystacks(plan))
    elif _SCHEMATIC.fullmatch(reference.name):
        yield from _factory_mistakes(reference, plan)
    elif plan.secure_boot and _is_own(reference, plan) and not (reference.tag or "").endswith(_SECURE):
        yield f"{reference} is not signed for secure boot, and what these nodes boot is: {way}"
    version = _version(reference)
    if version and version != plan.talos_version and _says_talos(reference, plan):
        yield f"{reference} is for Talos {version}, and these patches are for {plan.talos_version}: {way}"


def _not_cozystacks(plan: Plan) -> Iterator[str]:
    if plan.arch is not Arch.AMD64:
        yield f"which is for amd64 only, and the nodes are {plan.arch.value}"
    if added := [entry.name for entry in plan.extensions if entry.source is not Source.UPSTREAM]:
        yield f"which does not have {', '.join(added)}"


def _factory_mistakes(reference: Reference, plan: Plan) -> Iterator[str]:
    image = reference.namespace.rsplit("/", 1)[-1]
    if own := [entry.name for entry in plan.extensions if official_name(entry) is None]:
        yield (
            f"{reference} is the Image Factory's, which does not have {', '.join(own)}: give the reference that "
            f"`publish --variant {plan.variant}` prints"
        )
    expected = schematic_id(schematic(plan))
    if reference.name != expected:
        yield (
            f"{reference} is of another schematic than variant {plan.variant}, whose id is {expected} (`schematic "
            f"--variant {plan.variant}` prints it)"
        )
    if "installer" not in image:
        yield f"{reference} is not an installer: the Image Factory calls those metal-installer"
    elif plan.secure_boot:
        signed = "signed with the factory's keys" if image.endswith(_SECURE) else "not signed"
        yield f"{reference} is {signed}, and what these nodes boot is signed with yours"


def _version(reference: Reference) -> str | None:
    found = _VERSION.search(reference.tag or "")
    return found[1] if found else None


def _is_own(reference: Reference, plan: Plan) -> bool:
    """Say whether the tag is one that `publish` makes for the plan's variant."""
    return variant_of(reference.tag or "", [plan.variant]) is not None


def _says_talos(reference: Reference, plan: Plan) -> bool:
    """Say whether a version in the tag is known to be that of Talos."""
    return (
        _is_own(reference, plan)
        or _COZYSTACK.search(reference.repository) is not None
        or _SCHEMATIC.fullmatch(reference.name) is not None
        or (reference.namespace.rsplit("/", 1)[-1] == _SIDERO and reference.name in _SIDEROS)
    )


def open_questions(reference: Reference, plan: Plan) -> Iterator[str]:
    """Yield what the name of an image leaves open."""
    version = _version(reference)
    if version and version != plan.talos_version and not _says_talos(reference, plan):
        yield f"{reference}: its tag has {version}, and these patches are for Talos {plan.talos_version}."
    image = reference.namespace.rsplit("/", 1)[-1] if _SCHEMATIC.fullmatch(reference.name) else reference.tag or ""
    if image.endswith(_SECURE) and not plan.secure_boot:
        whose = "the factory's" if _SCHEMATIC.fullmatch(reference.name) else "your"
        yield f"{reference} is signed for secure boot: it boots where {whose} keys are enrolled."
    if _SCHEMATIC.fullmatch(reference.name) or _COZYSTACK.search(reference.repository):
        return
    if not _is_own(reference, plan):
        yield (
            f"{reference} does not say which variant it is of: it has to be an installer of {plan.variant}, with "
            f"{_listed(plan)}."
        )
    elif version is None:
        yield f"{reference} follows a channel: what it installs is what the tag points to at that time."
    elif plan.origin.release and not (reference.tag or "").removesuffix(_SECURE).endswith(f"-{plan.origin.release}"):
        yield f"{reference} is of another CozyStack release than {plan.origin.release}, for which these patches are."


def _listed(plan: Plan) -> str:
    added = [entry.name for entry in plan.extensions if entry.source is not Source.UPSTREAM]
    return ", ".join(added or [entry.name for entry in plan.extensions]) or "extensions"
