"""Where requests go: addresses that registries name, whether they are the registry's own, and the next page of a list.

What registries send is read with care: a password, or an image, follows an address only where that is safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from ci.common.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMES: Final = ("https", "http")
REDIRECTS: Final = (301, 302, 303, 307, 308)
#: Redirects after which a request stays what it is, body and all.
_SAME_METHOD: Final = (307, 308)


def parse_url(text: str, said_by: str, base: httpx.URL | None = None) -> httpx.URL:
    """Read an address, relative to `base` if there is one; raises `RegistryError` for what nothing can be sent to."""
    try:
        url = base.join(text) if base is not None else httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        url = None
    # httpx takes `http://[bad` for a host of an escaped bracket
    if url is None or url.scheme not in _SCHEMES or not url.host or "%" in url.host:
        raise RegistryError(
            f"{said_by} names an address that can't be used: {text!r}. It should begin with https:// and a host; "
            "check the registry's settings, or those of a proxy in front of it"
        )
    return url


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port, written alike where they are alike: `httpx.URL` drops a scheme's own port."""
    return url.scheme, url.host, url.port


def at_home(url: httpx.URL, where: httpx.URL) -> bool:
    """Say whether an address is on the same server; it may add TLS."""
    return where.host == url.host and (where.port == url.port or where.scheme != url.scheme)


def location(answer: httpx.Response) -> httpx.URL:
    """Return where an answer points; raises `RegistryError` where it points nowhere, or from https to http."""
    where = named(answer)
    if answer.url.scheme == "https" and where.scheme != "https":
        raise RegistryError(
            f"{_host(answer.url)} is asked with TLS, and redirects to {_host(where)} without: {_short(where)}. Neither "
            "images nor passwords are sent there; the registry has to name https:// addresses, and a proxy in front of "
            "it has to forward that (X-Forwarded-Proto)"
        )
    return where


def named(answer: httpx.Response) -> httpx.URL:
    """Return the address that an answer names, whatever it is; raises `RegistryError` where there is none."""
    said_by = _host(answer.url)
    if "Location" not in answer.headers:
        raise RegistryError(
            f"{said_by} answers {answer.status_code} to {answer.request.method} {answer.url.path} and does not say "
            "where to go on: it, or a proxy in front of it, leaves out the header Location"
        )
    return parse_url(answer.headers["Location"], said_by, answer.url)


def redirects(answer: httpx.Response) -> bool:
    """Say whether an answer is a redirect that can be followed with the same method."""
    followed = REDIRECTS if answer.request.method in ("GET", "HEAD") else _SAME_METHOD
    return answer.status_code in followed and "Location" in answer.headers


def next_page(answer: httpx.Response) -> httpx.URL | None:
    """Return where a list goes on, `None` at its end; raises `RegistryError` where it would go on elsewhere."""
    link: Mapping[str, str] | None = answer.links.get("next")
    if link is None:
        return None
    where = parse_url(link.get("url", ""), _host(answer.url), answer.url)
    if origin(where) != origin(answer.url):
        raise RegistryError(
            f"{_host(answer.url)} gives a part of a list, and names {_short(where)} for the rest, which is not its own "
            "address: check the registry's settings, or those of a proxy in front of it"
        )
    return where


def _host(url: httpx.URL) -> str:
    return url.netloc.decode()


def _short(url: httpx.URL) -> str:
    """Return an address without its query, which may hold the signature of an upload or of a storage."""
    return str(url.copy_with(query=None))
