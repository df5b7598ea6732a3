"""How a registry wants its callers to identify themselves: basic authentication, or a token from its token server.

The challenge is RFC 9110's `WWW-Authenticate`; tokens are as https://distribution.github.io/distribution/spec/auth/token/
describes them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.request import parse_http_list

import httpx

from ci.common.errors import RegistryError
from ci.publish.origin import origin, parse_url
from ci.publish.sending import PAUSES, again, follow

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Credentials:
    """A user name, and a password or a token that takes its place."""

    username: str
    #: Not in the representation, which tracebacks and failed tests show.
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The `Authorization` header of basic authentication."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def parse_challenge(header: str) -> tuple[str, Mapping[str, str]]:
    """Read a `WWW-Authenticate` header of one challenge: its scheme in lower case, and its parameters."""
    scheme, _, rest = header.strip().partition(" ")
    parts = (part.partition("=") for part in parse_http_list(rest) if "=" in part)
    # not urllib's `parse_keqv_list`: it fails at a parameter without a value
    return scheme.lower(), {key.strip().lower(): _unquoted(value.strip()) for key, _, value in parts}


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


class Auth:
    """Answers challenges, and remembers the answer for each repository."""

    def __init__(
        self,
        host: str,
        credentials: Credentials | None,
        pauses: tuple[float, ...] = PAUSES,
        *,
        actions: str = "pull,push",
        options: tuple[str, str] = ("--username", "--password"),
    ) -> None:
        """Take what to log in with; `options` are the arguments that a user gives it by, which errors name."""
        self._host = host
        self._credentials = credentials
        self._pauses = pauses
        self._actions = actions
        self._options = options
        self._answers: dict[str, str] = {}

    def headers(self, repository: str) -> dict[str, str]:
        """Return what to send with a request, as far as something was asked for."""
        answer = self._answers.get(repository)
        return {"Authorization": answer} if answer else {}

    async def answer(self, client: httpx.AsyncClient, repository: str, response: httpx.Response) -> None:
        """Do what a 401 asks for; raises `RegistryError` where there is nothing that could be answered."""
        scheme, parameters = parse_challenge(response.headers.get("WWW-Authenticate", ""))
        if scheme == "bearer":
            secure = response.url.scheme == "https"
            self._answers[repository] = f"Bearer {await self._token(client, repository, parameters, secure=secure)}"
        elif scheme == "basic" and self._credentials is not None:
            self._answers[repository] = self._credentials.header
        else:
            raise self.refused()

    async def _token(
        self, client: httpx.AsyncClient, repository: str, parameters: Mapping[str, str], *, secure: bool
    ) -> str:
        given = parameters.get("realm", "")
        realm = parse_url(given, f"{self._host}, as its token server,")
        if secure and realm.scheme != "https":
            raise RegistryError(
                f"{self._host} names a token server without TLS, to which no password is sent: {given!r}"
            )
        query = {"scope": f"repository:{repository}:{self._actions}"}
        if "service" in parameters:
            query["service"] = parameters["service"]
        realm = realm.copy_merge_params(query)

        async def ask(url: httpx.URL) -> httpx.Response:
            known = self._credentials if origin(url) == origin(realm) else None
            headers = {"Authorization": known.header} if known else {}
            return await client.get(url, headers=headers)

        server = f"the token server of {self._host}, {realm.netloc.decode()},"
        try:
            answer = await again(self._pauses, lambda: follow(ask, realm))
        except httpx.TransportError as error:
            raise RegistryError(f"{server} can't be reached: {str(error) or type(error).__name__}") from None
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST):
            raise self.refused()
        if answer.status_code != HTTPStatus.OK:
            raise RegistryError(f"{server} answers {answer.status_code} {answer.reason_phrase}")
        token = _token_in(answer)
        if not token:
            kind = answer.headers.get("Content-Type", "something of no type")
            raise RegistryError(
                f"{server} answers with {kind} in which there is no token: it should be JSON with `token` or "
                "`access_token`. Is there a proxy, or a login page, in front of it?"
            )
        return token

    def refused(self) -> RegistryError:
        """Return the error for credentials that are missing, or not taken."""
        username, password = self._options
        if self._credentials is None:
            return RegistryError(f"{self._host} asks for a login: give {username} and {password} env:NAME")
        return RegistryError(
            f"{self._host} refuses the password of {self._credentials.username!r}: check {username} and {password}"
        )


def _token_in(answer: httpx.Response) -> str:
    try:
        document: Any = answer.json()
        found: Any = document.get("token") or document.get("access_token")
    except (ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""
