"""June's device routes with a gateway behind them: the reference for an orchestrator's patch.

It makes the device's key pair as June does, registers the public half with the gateway's peer API and answers with
what the gateway said: its key and endpoint are those of HEADSCALE_SERVER_PUBLIC_KEY and HEADSCALE_SERVER_ENDPOINT,
from which an unpatched June answers. A patched June keeps its `require_user_auth` in front of both routes.
Where there are several gateways (GATEWAYS), `?gateway=` asks for one by name.
"""

import base64
import os
import secrets
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import httpx
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from pydantic import BaseModel


class DeviceRegistrationRequest(BaseModel):
    """What the app sends."""

    device_name: str | None = None
    device_os: str | None = None
    device_model: str | None = None


class DeviceRegistrationResponse(BaseModel):
    """What the app makes its WireGuard config of; comma-separated where WireGuard's own format is."""

    success: bool
    message: str
    device_name: str
    privateKey: str  # noqa: N815 (the app's field names)
    publicKey: str  # noqa: N815
    address: str
    serverPublicKey: str  # noqa: N815
    serverEndpoint: str  # noqa: N815
    allowedIPs: str  # noqa: N815
    dns: str
    persistentKeepalive: int  # noqa: N815


class Gateway(NamedTuple):
    """Where and with what one gateway lets devices in."""

    url: str
    token: str


def gateways(gateway: str | None = None) -> list[Gateway]:
    """Those that come into question, the first choice first, by the env that Meshgate sets; `gateway` names one."""
    names = [name for name in os.environ.get("GATEWAYS", "").split(",") if name]
    if gateway is not None and gateway not in names:
        known = f"there are {', '.join(names)}" if names else "there is only one, which needs no name"
        raise HTTPException(404, f"There is no VPN gateway {gateway!r}: {known}.")
    if gateway is not None:
        names = [gateway]
    # Of several gateways each has names of its own; a single one has none.
    return [_gateway(f"GATEWAY_{name.upper().replace('-', '_')}") for name in names] or [_gateway("GATEWAY")]


def _gateway(prefix: str) -> Gateway:
    url, token = os.environ.get(f"{prefix}_PEERS_URL"), os.environ.get(f"{prefix}_PEERS_TOKEN")
    if not url or not token:
        raise HTTPException(
            503, f"There is no VPN gateway yet: {prefix}_PEERS_URL and {prefix}_PEERS_TOKEN are not set."
        )
    return Gateway(url, token)


Gateways = Annotated[list[Gateway], Depends(gateways)]
router = APIRouter(prefix="/api/v1/device")


@router.post("/register")
async def register(device: DeviceRegistrationRequest, gateways: Gateways) -> DeviceRegistrationResponse:
    """Make a key pair for the device and let its public key in at the first gateway that can."""
    private = X25519PrivateKey.generate()
    public_key = _base64(private.public_key().public_bytes_raw())
    name = device.device_name or f"device-{secrets.token_hex(4)}"
    peer = await _ask_in_turn(gateways, 500, "POST", "/v1/peers", {"public_key": public_key, "name": name})
    return DeviceRegistrationResponse(
        success=True,
        message="Device registered",
        device_name=name,
        privateKey=_base64(private.private_bytes_raw()),
        publicKey=public_key,
        address=",".join(peer["addresses"]),
        serverPublicKey=peer["server_public_key"],
        serverEndpoint=peer["server_endpoint"],
        allowedIPs=",".join(peer["allowed_ips"]),
        dns=",".join(peer["dns"]),
        persistentKeepalive=peer["persistent_keepalive"],
    )


@router.delete("/unregister")
async def unregister(device_id: str, gateways: Gateways) -> dict[str, bool | str]:
    """Shut the device out at the gateway that has it; `device_id` is its public key."""
    await _ask_in_turn(gateways, 404, "DELETE", f"/v1/peers/{quote(device_id, safe='')}")
    return {"success": True, "message": "Device unregistered"}


async def _ask_in_turn(
    gateways: list[Gateway], passed_on: int, method: str, path: str, body: dict[str, str] | None = None
) -> dict[str, Any]:
    """The first answer that is no refusal; one with status `passed_on` or above leads to the next gateway."""
    refusals: list[HTTPException] = []
    for gateway in gateways:
        try:
            return await _ask(gateway, method, path, body)
        except HTTPException as refusal:
            if refusal.status_code < passed_on:
                raise
            refusals.append(refusal)
    # A gateway that does not answer may have the device that the others do not know.
    raise max(refusals, key=lambda refusal: refusal.status_code)


async def _ask(gateway: Gateway, method: str, path: str, body: dict[str, str] | None) -> dict[str, Any]:
    """The gateway's answer; its refusals reach the app with their own status and sentence."""
    token = {"Authorization": f"Bearer {gateway.token}"}
    try:
        async with httpx.AsyncClient(headers=token, timeout=10) as client:
            answer = await client.request(method, f"{gateway.url}{path}", json=body)
    except httpx.TransportError as error:
        raise HTTPException(503, "The VPN gateway does not answer; try again soon.") from error
    if answer.status_code in {401, 403}:
        raise HTTPException(502, "The VPN gateway refuses this service's token.")
    if answer.is_error:
        problem = answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
        raise HTTPException(answer.status_code, problem.get("detail", "The VPN gateway refused."))
    return answer.json() if answer.content else {}


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def create_app() -> FastAPI:
    """The service: June's routes and the health check of its Deployment."""
    app = FastAPI(title="june-orchestrator (reference)")
    app.include_router(router)
    app.add_api_route("/healthz", lambda: {"status": "healthy"})
    return app
