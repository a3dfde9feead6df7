"""June's device routes with gateways behind them: the reference for an orchestrator's patch.

It makes the device's key pair as June does, registers the public half with a gateway's peer API and answers with what
the gateway said: its key and endpoint are those of HEADSCALE_SERVER_PUBLIC_KEY and HEADSCALE_SERVER_ENDPOINT, from
which an unpatched June answers. A patched June has its own authentication in place of `user`.
Where there are several gateways (GATEWAYS), `?gateway=` asks for one by name. `?access=openvpn` and
`?access=ipsec` ask for a profile.
"""

import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

from .devices import IpSecDevice, OpenVpnDevice, ProfileRegistered, WireGuardDevice, WireGuardRegistered
from .gateways import Gateways, connected

USER_HEADER = "ORCHESTRATOR_USER_HEADER"
DEVICE_TTL = "ORCHESTRATOR_DEVICE_TTL_SECONDS"
A_WEEK_S, TEN_YEARS_S = 7 * 86400, 10 * 365 * 86400


class DeviceRegistrationRequest(BaseModel):
    """What the app sends."""

    device_name: str | None = None
    device_os: str | None = None
    device_model: str | None = None


def user(request: Request) -> str:
    """Who asks. June's own check belongs here: `extract_user_id(await require_user_auth(authorization))`.

    Without June it is up to a proxy in front, which names the user in the header that ORCHESTRATOR_USER_HEADER says. It
    must drop that header from what apps send, and nobody may reach this service past it.
    """
    header = os.environ.get(USER_HEADER)
    if not header:
        raise HTTPException(503, f"Nobody can be told apart: {USER_HEADER} has to name the header that tells the user.")
    users = request.headers.getlist(header)
    if len(users) != 1 or not users[0]:
        raise HTTPException(401, f"The header {header} has to be there once, and tell the user.")
    return users[0]


def device_key(device_id: str) -> str:
    """The device's public key; in a query its `+` means a space, where the app has not encoded it."""
    key = device_id.translate(str.maketrans(" -_", "++/"))
    if not re.fullmatch(r"[A-Za-z0-9+/]{43}=", key):
        raise HTTPException(422, "device_id names no device: it has to be the publicKey of the registration.")
    return key


def device_ttl_s() -> int:
    """How long a device may stay. The app registers anew, with another key, for each connection."""
    text = os.environ.get(DEVICE_TTL) or str(A_WEEK_S)
    if not re.fullmatch("[0-9]{1,9}", text) or not 60 <= int(text) <= TEN_YEARS_S:
        sys.exit(f"{DEVICE_TTL}: {text!r} is not 60 to {TEN_YEARS_S} seconds; {A_WEEK_S} is a week.")
    return int(text)


def _gateways(request: Request) -> Gateways:
    gateways: Gateways = request.app.state.gateways
    return gateways


User = Annotated[str, Depends(user)]
DeviceKey = Annotated[str, Depends(device_key)]
AllGateways = Annotated[Gateways, Depends(_gateways)]
router = APIRouter(prefix="/api/v1/device")


@router.post("/register")
async def register(
    device: DeviceRegistrationRequest,
    user: User,
    gateways: AllGateways,
    gateway: str | None = None,
    access: Literal["wireguard", "openvpn", "ipsec"] = "wireguard",
) -> WireGuardRegistered | ProfileRegistered:
    """Make a key for the device and let it in at the first gateway that can."""
    name = device.device_name or "device"
    made: WireGuardDevice | OpenVpnDevice | IpSecDevice
    match access:
        case "wireguard":
            made = WireGuardDevice()
        case "openvpn":
            made = OpenVpnDevice()
        case "ipsec":
            made = IpSecDevice(device.device_os or "")
    told = await gateways.let_in(made, user, name, device_ttl_s(), gateway)
    return made.registered(name, told)


@router.delete("/unregister")
async def unregister(user: User, key: DeviceKey, gateways: AllGateways) -> dict[str, bool | str]:
    """Shut the user's device out, wherever it is; `device_id` is its public key."""
    await gateways.shut_out(key, user)
    return {"success": True, "message": "Device unregistered"}


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with connected() as app.state.gateways:
        yield


def create_app() -> FastAPI:
    """The service: June's routes and the health check of its Deployment."""
    device_ttl_s()  # a wrong one is told now, not to the first app
    app = FastAPI(title="june-orchestrator (reference)", lifespan=_lifespan)
    app.include_router(router)
    app.add_api_route("/healthz", lambda: {"status": "healthy"})
    return app
