"""The gateways, as any backend needs them: a device comes in at one of them, and is shut out at all of them.

A device's name at a gateway begins with its owner, so no database has to remember whose it is. What a gateway may have
kept although it failed is taken back; where that fails too, it leaves by its ttl.
"""

import asyncio
import logging
import os
from typing import Any, Protocol

import httpx
from fastapi import HTTPException

from .calls import Service, ServiceError, ask, configured, owner

log = logging.getLogger(__name__)

TAKE_BACK_AFTER_S = (0, 1, 5, 25)
MAX_NAME = 64


class Device(Protocol):
    """A device that is to come in; `devices` has the kinds of it."""

    @property
    def id(self) -> str | None:
        """As gateways know it; None while none has made its key."""

    @property
    def fields(self) -> dict[str, Any]:
        """What a gateway is told of it besides its name and its time."""


def known(name: str | None = None) -> list[Service]:
    """Those that come into question, the first choice first, by the env that Meshgate sets; `name` asks for one."""
    names = [one for one in os.environ.get("GATEWAYS", "").split(",") if one]
    if name is not None and name not in names:
        there = f"there are {', '.join(names)}" if names else "there is only one, which needs no name"
        raise HTTPException(404, f"There is no VPN gateway {name!r}: {there}.")
    if name is not None:
        names = [name]
    # Of several gateways each has names of its own; a single one has none.
    return [_gateway(f"GATEWAY_{one.upper().replace('-', '_')}") for one in names] or [_gateway("GATEWAY")]


def _gateway(prefix: str) -> Service:
    return configured("VPN gateway", "addresses", f"{prefix}_PEERS")


class Gateways:
    """Lets users' devices in and shuts them out; an HTTPException tells the app why not."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.taking_back: set[asyncio.Task[None]] = set()

    async def let_in(self, device: Device, user: str, name: str, ttl_s: int, at: str | None = None) -> dict[str, Any]:
        """Let a new device in at the first gateway that can, or at the one called `at`; what the gateway says of it."""
        body = {**device.fields, "name": f"{owner(user)}:{name}"[:MAX_NAME], "ttl_seconds": ttl_s}
        refusals = []
        for gateway in known(at):
            try:
                return await self._ask(gateway, "POST", "/v1/peers", body)
            except ServiceError as refusal:
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
        answers = await asyncio.gather(*(self._shut_out(gateway, key, user) for gateway in known()))
        if refusals := [answer for answer in answers if answer]:
            raise _first_of_all(refusals)

    async def _shut_out(self, gateway: Service, key: str, user: str) -> ServiceError | None:
        try:
            device = await self._ask(gateway, "GET", _path(key))
            if not (device.get("name") or "").startswith(f"{owner(user)}:"):
                return ServiceError(403, "This device is not yours.")
            await self._ask(gateway, "DELETE", _path(key))
        except ServiceError as refusal:
            return None if refusal.status_code == 404 else refusal
        return None

    async def _take_back(self, gateway: Service, key: str) -> None:
        for pause in TAKE_BACK_AFTER_S:
            await asyncio.sleep(pause)
            try:
                await self._ask(gateway, "DELETE", _path(key))
            except ServiceError as refusal:
                if refusal.status_code != 404:
                    continue
            return
        log.warning("the gateway at %s may have device %s until its ttl is over", gateway.url, key)

    async def _ask(self, gateway: Service, method: str, path: str, body: object = None) -> dict[str, Any]:
        return await ask(self._client, gateway, method, path, body)

    def stop(self) -> None:
        """Take back no more."""
        for task in self.taking_back:
            task.cancel()


def _path(key: str) -> str:
    """A key in the URL-safe alphabet: no proxy on the way decodes it to a path of its own."""
    return f"/v1/peers/{key.replace('+', '-').replace('/', '_')}"


def _first_of_all(refusals: list[ServiceError]) -> ServiceError:
    """The one that the app is told: that it must not, else that it shall try again, else any."""
    return max(refusals, key=lambda refusal: (refusal.status_code < 500, refusal.status_code == 503))
