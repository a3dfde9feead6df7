"""The section `mesh_clients`."""

from typing import Annotated, ClassVar

from pydantic import Field

from infra.settings.api_caller import ApiCaller
from infra.settings.pod import PodSettings
from infra.settings.section import Section
from infra.settings.value_types import Tags


class MeshClientsSettings(Section):
    """The app's users as members of the mesh: a key service mints pre-auth keys for their Tailscale clients."""

    POD_ONLY: ClassVar = frozenset({"api_from", "image", "token_rotation", "pod"})

    tags: Tags = ()
    """Tags of the devices' nodes in Headscale, by which its policy names them."""
    key_minutes: Annotated[int, Field(ge=1, le=1440)] = 10
    """Minutes that a device has to join by its key."""
    devices_per_owner: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Devices that one owner can have in the mesh at a time."""
    keys_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 60
    """Keys that one caller's address can have minted in a minute."""
    token_rotation: str = ""
    """Any text. Another text makes new tokens for the key service; the old one stays good until the next rotation."""
    api_from: tuple[ApiCaller, ...] = ()
    """Who reaches the key service besides the orchestrator's namespace, where the cluster enforces NetworkPolicy."""
    image: str = "meshgate/gateway:0.1.0"
    """The image of the key service, which is the gateway's."""
    pod: PodSettings = PodSettings()
