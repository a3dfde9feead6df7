"""The key service's API: mints keys, tells whether devices have joined, removes them. Errors are problem+json."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, FastAPI, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.agent import audit
from gateway.agent.admission import subject
from gateway.agent.authentication import Grant
from gateway.agent.guarded_app import guarded_app, guarded_routes, needs
from gateway.agent.labels import label
from gateway.agent.settings_loading import SettingsError
from gateway.agent.tokens import READ, REGISTER
from gateway.headscale.errors import HeadscaleError
from gateway.keys.errors import HeadscaleDownError, TooManyError
from gateway.keys.mesh_devices import MeshDevice, MeshDevices
from gateway.keys.settings import KeySettings

log = logging.getLogger(__name__)

Owner = Annotated[str, Field(min_length=1, max_length=128)]
DeviceId = Annotated[str, Path(pattern=r"^\d{1,20}$")]
Result = TypeVar("Result")


class DeviceBody(BaseModel):
    """A device that shall join."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    owner: Owner = Field(description="whose it is, in any words; who asks for it later has to say the same")
    name: Annotated[str, AfterValidator(label)] | None = Field(None, description="for the audit")
    ephemeral: bool = Field(False, description="its node leaves the mesh soon after it goes offline")


class KeyAnswer(BaseModel):
    """All that a Tailscale client needs to join."""

    id: str
    login_server: str
    pre_auth_key: str = Field(description="good for one device; it is never repeated")
    expires_at: datetime


class NodeAnswer(BaseModel):
    """What the device has become."""

    name: str
    addresses: list[str]
    online: bool
    tags: list[str]


class DeviceAnswer(BaseModel):
    """Whether a device has joined."""

    id: str
    joined: bool
    node: NodeAnswer | None
    expires_at: datetime | None = Field(description="the end of its pre-auth key")


class Pace:
    """How many keys an address has had in the last minute."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._minted: list[tuple[float, str]] = []

    def take(self, address: str) -> None:
        """One more; TooManyError if it is one too many."""
        since = self._clock() - 60
        self._minted = [one for one in self._minted if one[0] > since]
        if sum(whose == address for _, whose in self._minted) >= self._most:
            raise TooManyError(self._most)
        self._minted.append((self._clock(), address))


def device_routes(devices: MeshDevices, settings: KeySettings) -> APIRouter:
    """The routes."""
    router = guarded_routes("/v1/devices")
    pace = Pace(settings.keys_per_minute)
    changes = asyncio.Lock()
    unknown: dict[int | str, dict[str, Any]] = {404: {"description": "The owner has no such device."}}

    @router.post(
        "",
        status_code=HTTPStatus.CREATED,
        dependencies=[needs(REGISTER)],
        responses={409: {"description": "The owner has enough devices."}},
    )
    async def mint(body: DeviceBody, request: Request) -> KeyAnswer:
        """Mint a pre-auth key for one device."""
        pace.take(subject(request.client.host) if request.client else "")
        async with changes:  # else two calls at once would go beyond an owner's bound
            minted = await _asked(lambda: devices.mint(body.owner, ephemeral=body.ephemeral))
        audit.about(minted.id)
        audit.done("minted", key=minted.id, name=body.name, expires_at=minted.expires_at.isoformat())
        return KeyAnswer(
            id=minted.id,
            login_server=settings.headscale_url,
            pre_auth_key=minted.key.get_secret_value(),
            expires_at=minted.expires_at,
        )

    @router.get("/{id}", dependencies=[needs(REGISTER, READ)], responses=unknown)
    async def find(id: DeviceId, owner: Annotated[Owner, Query()]) -> DeviceAnswer:  # noqa: A002 - its name
        """Tell whether a device has joined."""
        return _answer(await _asked(lambda: devices.find(id, owner)))

    @router.delete("/{id}", status_code=HTTPStatus.NO_CONTENT, dependencies=[needs(REGISTER)], responses=unknown)
    async def remove(id: DeviceId, owner: Annotated[Owner, Query()]) -> None:  # noqa: A002 - its name
        """Take a device out of the mesh; one that has not joined can join no more."""
        audit.about(id)
        async with changes:
            await _asked(lambda: devices.remove(id, owner))
        audit.done("removed", key=id)

    return router


def create_app(settings: KeySettings, grant: Grant, devices: MeshDevices) -> FastAPI:
    """The application, of which nothing answers without a token."""
    return guarded_app("Meshgate key service", grant, device_routes(devices, settings))


async def _asked(call: Callable[[], Result]) -> Result:
    """What Headscale answers; HeadscaleDownError if it is not what was asked for."""
    try:
        return await asyncio.to_thread(call)
    except (HeadscaleError, SettingsError) as error:
        log.warning("%s", error)
        raise HeadscaleDownError("Headscale does not do it just now; the service's log says why") from error


def _answer(device: MeshDevice) -> DeviceAnswer:
    node = device.node and NodeAnswer(
        name=device.node.given_name,
        addresses=list(device.node.addresses),
        online=device.node.online,
        tags=list(device.node.tags),
    )
    return DeviceAnswer(id=device.id, joined=node is not None, node=node, expires_at=device.expires_at)
