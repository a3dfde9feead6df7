"""The mesh, as any backend needs it: a device comes in by a pre-auth key that the key service mints for it."""

from datetime import datetime

import httpx

from .calls import Service, ServiceError, ask, configured, owner
from .devices import Registered


class MeshRegistered(Registered):
    """What the app hands to a Tailscale client. `device_id` names the device when it is unregistered."""

    device_id: str
    login_server: str
    pre_auth_key: str
    expires_at: datetime


class Mesh:
    """Lets users' devices into the mesh and takes them out; an HTTPException tells the app why not."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def let_in(self, user: str, name: str) -> MeshRegistered:
        """A key for a device. Its node leaves the mesh some time after it went: the app asks anew each time."""
        body = {"owner": owner(user), "name": name, "ephemeral": True}
        told = await ask(self._client, _service(), "POST", "/v1/devices", body)
        return MeshRegistered(
            device_name=name,
            device_id=told["id"],
            login_server=told["login_server"],
            pre_auth_key=told["pre_auth_key"],
            expires_at=told["expires_at"],
        )

    async def shut_out(self, device_id: str, user: str) -> None:
        """Take a user's device out; where it is not, it need not be."""
        try:
            await ask(self._client, _service(), "DELETE", f"/v1/devices/{device_id}", query={"owner": owner(user)})
        except ServiceError as refusal:
            if refusal.status_code != 404:
                raise


def _service() -> Service:
    return configured("key service", "pre_auth_key", "MESH_KEYS")
