"""A second stack, of a user who has a Headscale already: here the one that the lab's own stack manages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab.network import topology
from lab.pulumi import pulumi_host
from lab.pulumi.stack import Stack
from tests.e2e import lab_world, life


@contextmanager
def beside(stack: Stack, name: str, port: int, client_network: str, **gateway: Any) -> Iterator[Stack]:  # noqa: ANN401
    """One with a gateway of its own in a namespace of its own, prepared; it is destroyed at the end."""
    settings = stack.settings()
    own = settings["gateways"][0] | {
        "name": name,
        "endpoint": f"{topology.NODE_IPV4}:{port}",
        "client_networks": [client_network],
        **gateway,
    }
    existing = {"managed": False, **{key: settings["headscale"][key] for key in ("url", "ca_certificate")}}
    second = Stack(pulumi_host.find(), name)
    second.prepare(
        settings | {"namespace": f"meshgate-{name}", "headscale": existing, "gateways": [own], "orchestrator": {}}
    )
    second.set_secret("headscale_api_key", lab_world.api_key())
    try:
        yield second
    finally:
        life.destroy(second)
        second.remove()
