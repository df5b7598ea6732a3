"""Image references as charts write them: with or without a registry, found anywhere in a line, or as a key's value.

reference = [registry "/"] path [":" tag] ["@" digest]      without a registry it is Docker Hub's: redis:7 is
                                                            docker.io/library/redis:7
"""

from __future__ import annotations

import re
from typing import Final

_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST: Final = r"sha256:[0-9a-f]{64}"
_DOMAIN: Final = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z](?::[0-9]{1,5})?|localhost:[0-9]{1,5}"
_WHOLE: Final = re.compile(
    rf"(?:(?P<host>{_DOMAIN}|[a-z0-9.-]+:[0-9]{{1,5}}(?=/))/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    rf"(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
_ANYWHERE: Final = re.compile(
    rf"(?<![\w./:@$%~+-])(?:docker://)?(?P<reference>(?:{_DOMAIN})(?:/{_COMPONENT})+(?::{_TAG}(?:@{_DIGEST})?|@{_DIGEST}))(?![\w/])"
)
#: Hosts of names that look like images and are not: sources, examples.
_NOT_REGISTRIES: Final = re.compile(
    r"^(?:github\.com|golang\.org|k8s\.io|sigs\.k8s\.io|example\.(?:com|org|net)|.*\.example(?:\.(?:com|org|net))?|localhost)(?::|/)"
)
#: Stands for the part of a release's name that its user chooses: an application's are `redis-…`.
CHOSEN: Final = "anyname"
#: Keys whose value is an image.
IMAGE_KEY: Final = re.compile(
    r"(?:.*[a-z0-9_.-])?(?:[iI]mage|IMAGE|[iI]mageName|[iI]mageRef|[iI]mageURL|IMAGE_NAME)(?:_[A-Z0-9_]+)?|.*RELATED_IMAGE_\w+|sidecarImage|image"
)
_NOT_IMAGE_KEY: Final = re.compile(r".*(?:[pP]ullPolicy|[pP]ullSecrets?|[uU]nprivilegedImage|Customize.*|[oO]verride)$")


def release_of(package: str) -> str:
    """Return the name of a package's release; of an application, `CHOSEN` is a part of it."""
    group, _, name = package.partition("/")
    return f"{name}-{CHOSEN}" if group == "apps" else name


def is_image_key(key: str) -> bool:
    """Say whether a key's value is an image by the key's name."""
    return IMAGE_KEY.fullmatch(key) is not None and _NOT_IMAGE_KEY.fullmatch(key) is None


def whole(text: str) -> str | None:
    """Return the reference that a key's whole value is, with its registry; `None` where it is not one.

    A value of one word without tag and digest is no reference: it may be a name that is put together elsewhere.
    """
    text = text.strip().removeprefix("docker://")
    match = _WHOLE.fullmatch(text)
    if not match or _NOT_REGISTRIES.match(text):
        return None
    host, path, tag, digest = match["host"], match["path"], match["tag"], match["digest"]
    if not tag and not digest:
        if not host:
            return None
        tag = "latest"
    if tag and not digest and not host and "/" not in path and tag.isdigit() and len(tag) > 3:
        return None  # a host and a port
    return _written(host, path, tag, digest)


def put_together(registry: str, repository: str, tag: str, digest: str) -> str | None:
    """Return the reference that parts make, `None` where they make none."""
    name = f"{registry.rstrip('/')}/{repository}" if registry else repository
    digest = digest if not digest or digest.startswith("sha256:") else f"sha256:{digest}"
    return whole(name + (f":{tag}" if tag else "") + (f"@{digest}" if digest else ""))


def anywhere(text: str) -> list[str]:
    """Return the references in a line of any text: those that name a registry, and a tag or a digest."""
    found = [match["reference"] for match in _ANYWHERE.finditer(text)]
    return [made for reference in found if not _NOT_REGISTRIES.match(reference) and (made := whole(reference))]


def _written(host: str | None, path: str, tag: str | None, digest: str | None) -> str:
    if not host or host in ("index.docker.io", "registry-1.docker.io", "docker.io"):
        host = "docker.io"
        path = path if "/" in path else f"library/{path}"
    return f"{host}/{path}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
