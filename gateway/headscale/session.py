"""Sends one call to a Headscale server: authentication, TLS, timeouts, retries."""

import logging
import re
import ssl
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

import httpx
import stamina

from gateway.headscale import ca_certificates, responses
from gateway.headscale.errors import HeadscaleError, UnauthorizedError, UnavailableError
from gateway.headscale.models import api_key_prefix
from gateway.headscale.redaction import excerpt

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
"""Seconds for an answer; a busy server with thousands of nodes lists them in one."""

ATTEMPTS = 4
"""Of a call that may be repeated, within about three seconds when the server refuses connections."""

FIRST_WAIT = 0.2
"""Seconds before the second attempt; the waits double."""

# A call that had to be repeated is no news: it would stand among a user's diagnostics.
logging.getLogger("stamina").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Call:
    """One request of the API, not yet tied to a server."""

    method: str
    path: str
    """Below /api/v1/, or a whole URL of the server."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    repeatable: bool = False
    """Whether sending it twice does the same as once; GET and DELETE always are."""
    once: bool = False
    """Whether it is sent once even if it is repeatable, as nobody depends on its answer."""


class BearerKey(httpx.Auth):
    """Puts the API key into each request, and into no text."""

    def __init__(self, key: str) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Set the header that Headscale reads."""
        request.headers["Authorization"] = f"Bearer {self._key}"
        yield request

    def __repr__(self) -> str:
        return "BearerKey(***)"


class Session:
    """Connections to one server with one API key.

    `ca_certificate` is the PEM text of the server's CA when it is not a public one. `transport` takes httpx's place
    on the wire (tests).
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        ca_certificate: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        """The server's URL."""
        self.key_prefix = api_key_prefix(api_key.strip())
        """By which the server lists the API key."""
        self._http = httpx.Client(
            base_url=f"{self.url}/api/v1/",
            auth=BearerKey(_checked(api_key, self.url)),
            verify=_tls(ca_certificate, self.url),
            timeout=TIMEOUT,
            transport=transport,
        )

    def send(self, call: Call) -> dict[str, Any]:
        """The answer's JSON object. Raises the errors of `gateway.headscale.errors`."""
        if not (call.repeatable or call.method in {"GET", "DELETE"}):
            return self._send_once(call)
        for attempt in stamina.retry_context(
            on=UnavailableError,
            attempts=1 if call.once else ATTEMPTS,
            timeout=30,
            wait_initial=FIRST_WAIT,
            wait_max=2,
            wait_jitter=0.1,
        ):
            with attempt:
                return self._send_once(call)
        raise AssertionError("retry_context ends by an answer or an error")

    def _send_once(self, call: Call) -> dict[str, Any]:
        request = self._http.build_request(call.method, call.path, params=call.query, json=call.body)
        try:
            response = self._http.send(request)
        except httpx.TransportError as error:
            raise UnavailableError(f"Headscale at {self.url} cannot be reached: {_reason(error)}.") from error
        return responses.payload(self.url, response)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reason(error: httpx.TransportError) -> str:
    text = excerpt(str(error)) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:  # httpx tells the TLS errors apart by their text alone
        return f"its certificate is not of a trusted CA ({text}); give that CA's as ca_certificate"
    return f"{text}; check that it runs and that this is its URL"


def _checked(api_key: str, url: str) -> str:
    key = api_key.strip()
    if not re.fullmatch(r"[\w.-]+", key, re.ASCII):
        raise UnauthorizedError(f"The API key for Headscale at {url} is not in Headscale's form.")
    return key


def _tls(ca_certificate: str | None, url: str) -> ssl.SSLContext:
    if ca_certificate is None:
        return _public_cas()
    try:
        return ca_certificates.trusting(ca_certificates.from_pem(ca_certificate))
    except ValueError as error:
        raise HeadscaleError(f"The CA certificate for Headscale at {url} cannot be used: {error}.") from error


@cache
def _public_cas() -> ssl.SSLContext:
    """TLS that trusts what httpx trusts; one for all sessions, since reading those CAs takes longer than a call."""
    return httpx.create_ssl_context()
