"""The gateways, as any backend needs them: a device comes in at one of them, and is shut out at all of them.

A device's name at a gateway begins with its owner, so no database has to remember whose it is. What a gateway may have
kept although it failed is taken back; where that fails too, it leaves by its ttl.
"""

import asyncio
import hashlib
import logging
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol

import httpx
from fastapi import HTTPException

log = logging.getLogger(__name__)

TIMEOUT = httpx.Timeout(5, connect=2)
"""A gateway answers within milliseconds; the app still waits when the next one is asked."""
LIMITS = httpx.Limits(max_connections=None, keepalive_expiry=2)
"""One that hangs leaves room for the others. A connection ends here before the gateway ends it under a request."""
TAKE_BACK_AFTER_S = (0, 1, 5, 25)
MAX_NAME = 64


class Gateway(NamedTuple):
    """Where and with what one gateway lets devices in."""

    url: str
    token: str


class GatewayError(HTTPException):
    """Why a gateway did not do it, as the app is told.

    `kept` says that it may have done it all the same, `elsewhere` that another gateway may offer what this one lacks.
    """

    def __init__(self, status: int, detail: str, *, kept: bool = False, elsewhere: bool = False) -> None:
        super().__init__(status, detail)
        self.kept = kept
        self.elsewhere = elsewhere


class Device(Protocol):
    """A device that is to come in; `devices` has the kinds of it."""

    @property
    def id(self) -> str | None:
        """As gateways know it; None while none has made its key."""

    @property
    def fields(self) -> dict[str, Any]:
        """What a gateway is told of it besides its name and its time."""


def configured(name: str | None = None) -> list[Gateway]:
    """Those that come into question, the first choice first, by the env that Meshgate sets; `name` asks for one."""
    names = [one for one in os.environ.get("GATEWAYS", "").split(",") if one]
    if name is not None and name not in names:
        known = f"there are {', '.join(names)}" if names else "there is only one, which needs no name"
        raise HTTPException(404, f"There is no VPN gateway {name!r}: {known}.")
    if name is not None:
        names = [name]
    # Of several gateways each has names of its own; a single one has none.
    return [_gateway(f"GATEWAY_{one.upper().replace('-', '_')}") for one in names] or [_gateway("GATEWAY")]


def _gateway(prefix: str) -> Gateway:
    url, token = os.environ.get(f"{prefix}_PEERS_URL"), os.environ.get(f"{prefix}_PEERS_TOKEN")
    if not url or not token:
        raise HTTPException(
            503, f"There is no VPN gateway yet: {prefix}_PEERS_URL and {prefix}_PEERS_TOKEN are not set."
        )
    return Gateway(url, token)


class Gateways:
    """Lets users' devices in and shuts them out; an HTTPException tells the app why not."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.taking_back: set[asyncio.Task[None]] = set()

    async def let_in(self, device: Device, user: str, name: str, ttl_s: int, at: str | None = None) -> dict[str, Any]:
        """Let a new device in at the first gateway that can, or at the one called `at`; what the gateway says of it."""
        body = {**device.fields, "name": f"{_owner(user)}{name}"[:MAX_NAME], "ttl_seconds": ttl_s}
        refusals = []
        for gateway in configured(at):
            try:
                return await self._ask(gateway, "POST", "/v1/peers", body)
            except GatewayError as refusal:
                if refusal.kept and device.id:  # one without leaves by its ttl
                    task = asyncio.create_task(self._take_back(gateway, device.id))
                    self.taking_back.add(task)
                    task.add_done_callback(self.taking_back.discard)
                if refusal.status_code < 500 and refusal.status_code not in {408, 429} and not refusal.elsewhere:
                    raise  # the next gateway would refuse it, too
                refusals.append(refusal)
        raise _first_of_all(refusals)

    async def shut_out(self, key: str, user: str) -> None:
        """Shut a user's device out at every gateway; where it is not, it need not be."""
        answers = await asyncio.gather(*(self._shut_out(gateway, key, user) for gateway in configured()))
        if refusals := [answer for answer in answers if answer]:
            raise _first_of_all(refusals)

    async def _shut_out(self, gateway: Gateway, key: str, user: str) -> GatewayError | None:
        try:
            device = await self._ask(gateway, "GET", _path(key))
            if not (device.get("name") or "").startswith(_owner(user)):
                return GatewayError(403, "This device is not yours.")
            await self._ask(gateway, "DELETE", _path(key))
        except GatewayError as refusal:
            return None if refusal.status_code == 404 else refusal
        return None

    async def _take_back(self, gateway: Gateway, key: str) -> None:
        for pause in TAKE_BACK_AFTER_S:
            await asyncio.sleep(pause)
            try:
                await self._ask(gateway, "DELETE", _path(key))
            except GatewayError as refusal:
                if refusal.status_code != 404:
                    continue
            return
        log.warning("the gateway at %s may have device %s until its ttl is over", gateway.url, key)

    async def _ask(self, gateway: Gateway, method: str, path: str, body: object = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {gateway.token}"}
        try:
            answer = await self._client.request(method, f"{gateway.url}{path}", json=body, headers=headers)
            said = answer.json()
        except httpx.RequestError as error:
            unheard = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise GatewayError(503, "The VPN gateway does not answer; try again soon.", kept=not unheard) from error
        except ValueError:  # nothing, or no JSON
            said = None
        if answer.status_code in {401, 403}:
            raise GatewayError(502, "The VPN gateway refuses this service's token.")
        if method == "DELETE" and answer.status_code == httpx.codes.NO_CONTENT:
            return {}
        if not isinstance(said, dict) or ("addresses" if answer.is_success else "detail") not in said:
            # Something in between has answered: its 200 lets nobody in, its 404 does not say that a device is gone.
            raise GatewayError(502, "The VPN gateway refused.", kept=True)
        if answer.is_success:
            return said
        kept, elsewhere = answer.status_code in {500, 503}, said.get("field") == "protocol"
        raise GatewayError(answer.status_code, said["detail"], kept=kept, elsewhere=elsewhere)


def _owner(user: str) -> str:
    """What a name begins with: of one length, so that it cannot be the beginning of another user's."""
    return f"{hashlib.sha256(user.encode()).hexdigest()[:24]}:"


def _path(key: str) -> str:
    """A key in the URL-safe alphabet: no proxy on the way decodes it to a path of its own."""
    return f"/v1/peers/{key.replace('+', '-').replace('/', '_')}"


def _first_of_all(refusals: list[GatewayError]) -> GatewayError:
    """The one that the app is told: that it must not, else that it shall try again, else any."""
    return max(refusals, key=lambda refusal: (refusal.status_code < 500, refusal.status_code == 503))


@asynccontextmanager
async def connected() -> AsyncIterator[Gateways]:
    """The gateways while the process runs: one TLS context, and no proxy of its env gets to see the tokens."""
    # OpenSSL's own CAs: the system's, or those of SSL_CERT_FILE and SSL_CERT_DIR.
    tls = ssl.create_default_context()
    async with httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS, trust_env=False, verify=tls) as client:
        gateways = Gateways(client)
        yield gateways
        for task in gateways.taking_back:
            task.cancel()
