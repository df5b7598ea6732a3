"""Sending a request until it is answered: again where that may help, and from one address to the next.

httpx follows redirects too, but not by a registry's rules: what may be sent depends on the server that is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import httpx

from ci.common.errors import RegistryError
from ci.publish.origin import at_home, location, named, redirects

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: Tries of a request that might succeed the next time, and seconds before the second and the third.
PAUSES: Final = (0.5, 2.0)
_AGAIN: Final = (429, 500, 502, 503, 504)
_STEPS: Final = 5


async def again(pauses: tuple[float, ...], once: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Return an answer that is not for the moment only, else the last one; raises what the last try raises.

    Where nobody answers at all, the first try is the last.
    """
    for pause in pauses:
        try:
            answer = await once()
        except httpx.ConnectError:
            raise
        except httpx.TransportError:
            pass
        else:
            if answer.status_code not in _AGAIN:
                return answer
        await anyio.sleep(pause)
    return await once()


async def follow(
    ask: Callable[[httpx.URL], Awaitable[httpx.Response]], url: httpx.URL, *, leave: bool = True
) -> httpx.Response:
    """Ask, and ask where the answer redirects to; `ask` decides what each of these may be sent.

    Without `leave`, a redirect to another server is not followed but returned. Raises `RegistryError` for a redirect
    from https to http, and for one too many.
    """
    first = url
    for _ in range(_STEPS):
        answer = await ask(url)
        if not redirects(answer) or not (leave or at_home(url, named(answer))):
            return answer
        url = location(answer)
    raise RegistryError(
        f"{first.netloc.decode()} redirects a request {_STEPS} times, at last to {url.netloc.decode()}: check the "
        "registry's settings, or those of a proxy in front of it"
    )
