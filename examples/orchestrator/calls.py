"""One HTTP call to what Meshgate runs for a backend: a gateway's peer API, or the mesh's key service."""

import hashlib
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
from fastapi import HTTPException

TIMEOUT = httpx.Timeout(5, connect=2)
"""A service answers within milliseconds; the app still waits when the next one is asked."""
LIMITS = httpx.Limits(max_connections=None, keepalive_expiry=2)
"""One that hangs leaves room for the others. A connection ends here before the service ends it under a request."""


class Service(NamedTuple):
    """Where and with what a service is asked."""

    name: str
    """As the app is told."""
    proof: str
    """A field that each of its answers has: what something in between answers lacks it."""
    url: str
    token: str


class ServiceError(HTTPException):
    """Why a service did not do it, as the app is told.

    `kept` says that it may have done it all the same, `elsewhere` that another one may offer what this one lacks.
    """

    def __init__(self, status: int, detail: str, *, kept: bool = False, elsewhere: bool = False) -> None:
        super().__init__(status, detail)
        self.kept = kept
        self.elsewhere = elsewhere


def configured(name: str, proof: str, prefix: str) -> Service:
    """The service that the env tells of as `prefix`_URL and `prefix`_TOKEN, which Meshgate sets."""
    url, token = os.environ.get(f"{prefix}_URL"), os.environ.get(f"{prefix}_TOKEN")
    if not url or not token:
        raise HTTPException(503, f"There is no {name} yet: {prefix}_URL and {prefix}_TOKEN are not set.")
    return Service(name, proof, url, token)


async def ask(
    client: httpx.AsyncClient,
    service: Service,
    method: str,
    path: str,
    body: object = None,
    query: dict[str, str] | None = None,
) -> dict[str, Any]:
    """What the service answers, nothing of a deletion; ServiceError."""
    headers = {"Authorization": f"Bearer {service.token}"}
    try:
        answer = await client.request(method, f"{service.url}{path}", json=body, params=query, headers=headers)
        said = answer.json()
    except httpx.RequestError as error:
        unheard = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        raise ServiceError(503, f"The {service.name} does not answer; try again soon.", kept=not unheard) from error
    except ValueError:  # nothing, or no JSON
        said = None
    if answer.status_code in {401, 403}:
        raise ServiceError(502, f"The {service.name} refuses this service's token.")
    if method == "DELETE" and answer.status_code == httpx.codes.NO_CONTENT:
        return {}
    if not isinstance(said, dict) or (service.proof if answer.is_success else "detail") not in said:
        # Something in between has answered: its 200 lets nobody in, its 404 does not say that a device is gone.
        raise ServiceError(502, f"The {service.name} refused.", kept=True)
    if answer.is_success:
        return said
    kept, elsewhere = answer.status_code in {500, 503}, said.get("field") == "protocol"
    raise ServiceError(answer.status_code, said["detail"], kept=kept, elsewhere=elsewhere)


def owner(user: str) -> str:
    """A user as services know them: of one length, so that it cannot be the beginning of another's."""
    return hashlib.sha256(user.encode()).hexdigest()[:24]


@asynccontextmanager
async def connected() -> AsyncIterator[httpx.AsyncClient]:
    """A client for as long as the process runs: one TLS context, and no proxy of its env gets to see the tokens."""
    # OpenSSL's own CAs: the system's, or those of SSL_CERT_FILE and SSL_CERT_DIR.
    tls = ssl.create_default_context()
    async with httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS, trust_env=False, verify=tls) as client:
        yield client
