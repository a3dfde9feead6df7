"""June's device routes with gateways behind them: the reference for an orchestrator's patch.

It makes the device's key pair as June does, registers the public half with a gateway's peer API and answers with what
the gateway said: its key and endpoint are those of HEADSCALE_SERVER_PUBLIC_KEY and HEADSCALE_SERVER_ENDPOINT, from
which an unpatched June answers. A patched June has its own authentication in place of `user`.
Where there are several gateways (GATEWAYS), `?gateway=` asks for one by name. `?access=openvpn` and
`?access=ipsec` ask for a profile, `?access=mesh` for a pre-auth key.
"""

import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

from .calls import connected
from .devices import IpSecDevice, OpenVpnDevice, ProfileRegistered, WireGuardDevice, WireGuardRegistered
from .gateways import Gateways
from .mesh import Mesh, MeshRegistered

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
    """A device's public key, or its number in the mesh. In a query the key's `+` means a space if it is not encoded."""
    key = device_id.translate(str.maketrans(" -_", "++/"))
    if not re.fullmatch(r"[A-Za-z0-9+/]{43}=|[0-9]{1,20}", key):
        raise HTTPException(422, "device_id names no device: it has to be the registration's publicKey or device_id.")
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


def _mesh(request: Request) -> Mesh:
    mesh: Mesh = request.app.state.mesh
    return mesh


User = Annotated[str, Depends(user)]
DeviceKey = Annotated[str, Depends(device_key)]
AllGateways = Annotated[Gateways, Depends(_gateways)]
TheMesh = Annotated[Mesh, Depends(_mesh)]
router = APIRouter(prefix="/api/v1/device")


@router.post("/register")
async def register(
    device: DeviceRegistrationRequest,
    user: User,
    gateways: AllGateways,
    mesh: TheMesh,
    gateway: str | None = None,
    access: Literal["mesh", "wireguard", "openvpn", "ipsec"] = "wireguard",
) -> WireGuardRegistered | ProfileRegistered | MeshRegistered:
    """Let the device in at the first gateway that can, with a key of its own, or into the mesh."""
    name = device.device_name or "device"
    made: WireGuardDevice | OpenVpnDevice | IpSecDevice
    match access:
        case "mesh":
            return await mesh.let_in(user, name)
        case "wireguard":
            made = WireGuardDevice()
        case "openvpn":
            made = OpenVpnDevice()
        case "ipsec":
            made = IpSecDevice(device.device_os or "")
    told = await gateways.let_in(made, user, name, device_ttl_s(), gateway)
    return made.registered(name, told)


@router.delete("/unregister")
async def unregister(user: User, key: DeviceKey, gateways: AllGateways, mesh: TheMesh) -> dict[str, bool | str]:
    """Shut the user's device out, wherever it is."""
    await (mesh if key.isdecimal() else gateways).shut_out(key, user)
    return {"success": True, "message": "Device unregistered"}


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with connected() as client:
        app.state.gateways, app.state.mesh = Gateways(client), Mesh(client)
        yield
        app.state.gateways.stop()


def create_app() -> FastAPI:
    """The service: June's routes and the health check of its Deployment."""
    device_ttl_s()  # a wrong one is told now, not to the first app
    app = FastAPI(title="june-orchestrator (reference)", lifespan=_lifespan)
    app.include_router(router)
    app.add_api_route("/healthz", lambda: {"status": "healthy"})
    return app
