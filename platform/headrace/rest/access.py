"""Who may ask: a bearer token when one is set; without one, only programs of this machine.

    token set        every request but those of OPEN must carry ``Authorization: Bearer <token>``
    no token         on a loopback address the Host must be a loopback name, so that no web page can reach this
                     port by pointing a name of its own at it (DNS rebinding)
    in either case   a browser's request from another site (Origin) is refused: no page may submit or cancel

Pure: no I/O.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from headrace.rest.errors import RequestError

#: Answered without a token: liveness for supervisors and load balancers, and what the API looks like.
OPEN = frozenset({"/health", "/api/v1/docs", "/api/v1/openapi.json"})


@dataclass(frozen=True)
class Access:
    """What one server demands. ``host`` is the address that it listens on."""

    host: str = "127.0.0.1"
    token: str | None = None

    @property
    def open_to_the_network(self) -> bool:
        """Whether anybody who reaches the port may run code on the cluster."""
        return self.token is None and not _is_loopback(self.host)

    def check(self, path: str, headers: Mapping[str, str]) -> None:
        """Raises RequestError ("rest-unauthorized", "rest-host-refused")."""
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin is not None and _site(origin) != host:
            raise RequestError(
                "rest-host-refused",
                f"a page of {origin[:100]} may not use this API",
                hint="ask from a program, or through a proxy of the page's own site",
            )
        if self.token is None:
            self._check_host(host)
        elif path not in OPEN:
            self._check_token(headers.get("authorization", ""))

    def _check_host(self, host: str) -> None:
        if _is_loopback(self.host) and not _is_loopback(_name(host)):
            raise RequestError(
                "rest-host-refused",
                f"without a token only this machine may ask, by a name of its own, not {host[:100]!r}",
                hint="use http://127.0.0.1 or http://localhost, or set HEADRACE_REST_TOKEN",
            )

    def _check_token(self, authorization: str) -> None:
        scheme, _, given = authorization.partition(" ")
        wanted = self.token or ""
        # Both sides as bytes, and compared in constant time: how long an answer takes tells nothing.
        same = hmac.compare_digest(given.strip().encode("latin-1", "replace"), wanted.encode())
        if scheme.lower() != "bearer" or not same:
            raise RequestError(
                "rest-unauthorized",
                "this Dispatcher wants a token" if not authorization else "the token is not this Dispatcher's",
                hint="send `Authorization: Bearer <token>`; streamctl takes it from HEADRACE_REST_TOKEN",
            )


def _site(origin: str) -> str | None:
    """Host and port of an Origin header, None when it names none."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _name(host: str) -> str:
    """The name or address of a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
