"""How a registry wants its callers to identify themselves: basic authentication, or a token from its token server.

The challenge is RFC 9110's `WWW-Authenticate`; tokens are as https://distribution.github.io/distribution/spec/auth/token/
describes them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.request import parse_http_list, parse_keqv_list

from ci.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx


@dataclass(frozen=True)
class Credentials:
    """A user name, and a password or a token that takes its place."""

    username: str
    password: str

    @property
    def header(self) -> str:
        """The `Authorization` header of basic authentication."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def parse_challenge(header: str) -> tuple[str, Mapping[str, str]]:
    """Read a `WWW-Authenticate` header of one challenge: its scheme in lower case, and its parameters."""
    scheme, _, rest = header.strip().partition(" ")
    parts = [part for part in parse_http_list(rest) if "=" in part]
    return scheme.lower(), {key.lower(): value for key, value in parse_keqv_list(parts).items()}


class Auth:
    """Answers challenges, and remembers the answer for each repository."""

    def __init__(self, host: str, credentials: Credentials | None) -> None:
        self._host = host
        self._credentials = credentials
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
        realm = parameters.get("realm", "")
        if not realm.startswith("https://" if secure else ("https://", "http://")):
            raise RegistryError(f"{self._host} names a token server that no password can be sent to: {realm!r}")
        query = {"scope": f"repository:{repository}:pull,push"}
        if "service" in parameters:
            query["service"] = parameters["service"]
        headers = {"Authorization": self._credentials.header} if self._credentials else {}
        answer = await client.get(realm, params=query, headers=headers)
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST):
            raise self.refused()
        if answer.status_code != HTTPStatus.OK:
            raise RegistryError(f"the token server of {self._host} answers {answer.status_code} {answer.reason_phrase}")
        document = answer.json()
        return str(document.get("token") or document.get("access_token") or "")

    def refused(self) -> RegistryError:
        """Return the error for credentials that are missing, or not taken."""
        if self._credentials is None:
            return RegistryError(f"{self._host} wants to know who you are: give --username and --password env:NAME")
        return RegistryError(
            f"{self._host} does not take the password of {self._credentials.username!r}: "
            "look at --username and --password"
        )
