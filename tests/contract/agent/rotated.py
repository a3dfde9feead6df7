"""A world whose key is rotated: the present key becomes the previous one, beside a new one with its own interface."""

import signal
from dataclasses import dataclass
from typing import Any

from tests.contract.agent.world import LAN_GATEWAY, LISTEN_PORT, Client, World
from tests.unit.agent.fakes import key_pair

NEXT_PORT = 51821


@dataclass(frozen=True)
class Keys:
    """What a client's config has of the gateway, by the previous key and by the present one."""

    previous: dict[str, str]
    present: dict[str, str]


def rotate(world: World, how: signal.Signals = signal.SIGTERM, until: str = "") -> Keys:
    """Rotate the key of a running world, as a new interface and an agent with other settings."""
    keys, directory = key_pair(), world.directory
    (directory / "next-private-key").write_text(keys.private + "\n")
    before = world.wireguard
    previous_interface = world.interface
    world.previous_holder = world.holder
    world.interface = world.next_interface
    world.wireguard = {
        "MESHGATE_LISTEN_PORT": str(NEXT_PORT),
        "MESHGATE_PRIVATE_KEY_FILE": str(directory / "next-private-key"),
        "MESHGATE_PUBLIC_KEY": keys.public,
    }
    world.environment |= {name.replace("_", "_PREVIOUS_", 1): value for name, value in before.items()}
    world.environment["MESHGATE_PREVIOUS_INTERFACE"] = previous_interface
    if until:
        (world.settings / "MESHGATE_PREVIOUS_UNTIL").write_text(until)
    endpoint = f"{LAN_GATEWAY}:{NEXT_PORT}"
    world.start_interface()
    world.stop_agent(how)
    (world.settings / "MESHGATE_ENDPOINT").write_text(endpoint)
    world.start_agent()
    world.wait_until_ready()
    return Keys(
        previous={
            "server_public_key": before["MESHGATE_PUBLIC_KEY"],
            "server_endpoint": f"{LAN_GATEWAY}:{LISTEN_PORT}",
        },
        present={"server_public_key": keys.public, "server_endpoint": endpoint},
    )


def status(world: World, client: Client) -> dict[str, Any]:
    """What the API says of a client."""
    return dict(world.call("GET", f"/v1/peers/{client.keys.public}").json())


def left(world: World) -> int:
    """How many devices have not moved, as Prometheus is told."""
    (line,) = (
        line for line in world.probe("/metrics").text.splitlines() if line.startswith("meshgate_peers_on_previous_key ")
    )
    return int(float(line.split()[1]))
