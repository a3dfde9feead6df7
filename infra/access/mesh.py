"""Access mode "mesh": the app's users are nodes of the mesh, by Tailscale's own client and a pre-auth key.

The app asks the key service for a key, and hands it to the client with the server's URL. No gateway is in the way,
unless the client takes one as its exit node.
"""

import pulumi

from infra.components.component import Component
from infra.components.headscale_server import HeadscaleServer
from infra.components.key_service import NAME, KeyService
from infra.components.orchestrator_env import KeyServiceAccess
from infra.components.stack_cluster import StackCluster
from infra.resources.token import Token
from infra.resources.user import DevicesUser
from infra.settings.headscale import HeadscaleSettings
from infra.settings.stack import StackSettings


class MeshAccess(Component):
    """The Headscale user of the devices, and the service that mints their keys."""

    def __init__(
        self,
        cluster: StackCluster,
        settings: StackSettings,
        server: HeadscaleSettings,
        managed: list[HeadscaleServer],
    ) -> None:
        super().__init__("meshgate:access:Mesh", "mesh")
        clients = settings.clients
        user = DevicesUser(
            "devices",
            server=server.url,
            user=f"{server.user or f'meshgate-{pulumi.get_stack()}'}-devices",
            stack_id=cluster.stack_id,
            opts=self.child(*managed),
        )
        token = Token("keys-token", rotation=clients.token_rotation, kept_in=NAME, opts=self.child())
        service = KeyService(
            cluster,
            settings,
            server,
            user.user,
            tokens=token.file,
            admin_token=token.admin,
            opts=self.child(user),
        )
        self.keys = KeyServiceAccess(
            service=service,
            login_server=server.url,
            url=service.url,
            token=token.value,
            previous_token=token.previous,
        )
        self.outputs: dict[str, pulumi.Input[object]] = {"login_server": server.url, "keys_url": service.url}
        self.register_outputs(self.outputs)
