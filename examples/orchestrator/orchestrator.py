"""June's device routes with a gateway behind them: the reference for an orchestrator's patch.

It makes the device's key pair as June does, registers the public half with the gateway's peer API and answers with
what the gateway said: its key and endpoint are those of HEADSCALE_SERVER_PUBLIC_KEY and HEADSCALE_SERVER_ENDPOINT,
from which an unpatched June answers. A patched June keeps its `require_user_auth` in front of both routes.
"""

import base64
import os
import secrets
from typing import Annotated, Any
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


def gateway() -> httpx.AsyncClient:
    """A client of the gateway's peer API, from the env that Meshgate sets."""
    url, token = os.environ.get("GATEWAY_PEERS_URL"), os.environ.get("GATEWAY_PEERS_TOKEN")
    if not url or not token:
        raise HTTPException(503, "There is no VPN gateway yet: GATEWAY_PEERS_URL and GATEWAY_PEERS_TOKEN are not set.")
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=10)


Gateway = Annotated[httpx.AsyncClient, Depends(gateway)]
router = APIRouter(prefix="/api/v1/device")


@router.post("/register")
async def register(device: DeviceRegistrationRequest, gateway: Gateway) -> DeviceRegistrationResponse:
    """Make a key pair for the device and let its public key in at the gateway."""
    private = X25519PrivateKey.generate()
    public_key = _base64(private.public_key().public_bytes_raw())
    name = device.device_name or f"device-{secrets.token_hex(4)}"
    peer = await _ask(gateway, "POST", "/v1/peers", {"public_key": public_key, "name": name})
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
async def unregister(device_id: str, gateway: Gateway) -> dict[str, bool | str]:
    """Shut the device out; `device_id` is its public key."""
    await _ask(gateway, "DELETE", f"/v1/peers/{quote(device_id, safe='')}")
    return {"success": True, "message": "Device unregistered"}


async def _ask(
    gateway: httpx.AsyncClient, method: str, path: str, body: dict[str, str] | None = None
) -> dict[str, Any]:
    """The gateway's answer; its refusals reach the app with their own status and sentence."""
    try:
        async with gateway:
            answer = await gateway.request(method, path, json=body)
    except httpx.TransportError as error:
        raise HTTPException(503, "The VPN gateway does not answer; try again soon.") from error
    if answer.status_code in {401, 403}:
        raise HTTPException(502, "The VPN gateway refuses this service's GATEWAY_PEERS_TOKEN.")
    if answer.is_error:
        raise HTTPException(answer.status_code, answer.json().get("detail", "The VPN gateway refused."))
    return answer.json() if answer.content else {}


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def create_app() -> FastAPI:
    """The service: June's routes and the health check of its Deployment."""
    app = FastAPI(title="june-orchestrator (reference)")
    app.include_router(router)
    app.add_api_route("/healthz", lambda: {"status": "healthy"})
    return app
