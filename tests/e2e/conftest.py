"""The running lab, as e2e tests see it: `make test` made it, packets flow in it, and a test leaves it whole."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from gateway.headscale.client import Headscale
from gateway.headscale.models import Node
from lab.cluster import node
from lab.mesh import june, june_app, peer
from lab.network import wireguard_client as clients
from lab.network.wireguard_client import Client, Config
from lab.pulumi import pulumi_host
from lab.pulumi.stack import Stack
from tests.e2e import lab_world

Connect = Callable[[str], Client]


@pytest.fixture(scope="session")
def stack() -> Stack:
    if not node.running():
        pytest.fail("The lab does not run; `make test` and `make up` start it.")
    return Stack(pulumi_host.find())


@pytest.fixture
def outputs(stack: Stack) -> dict[str, Any]:
    return stack.outputs()


@pytest.fixture
def headscale(stack: Stack) -> Iterator[Headscale]:
    with lab_world.headscale() as headscale:
        yield headscale


@pytest.fixture
def mesh_peer(headscale: Headscale) -> Node:
    return lab_world.node_named(headscale, peer.HOSTNAME)


@pytest.fixture
def register(stack: Stack) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Registers devices as June's app does; they are unregistered at the end."""
    with ExitStack() as registered:

        def register(name: str) -> dict[str, Any]:
            # As June's app, which makes up a name for every connection.
            answer = june_app.register(june.URL, f"{name}-{secrets.token_hex(4)}")
            registered.callback(lab_world.unregister, answer["publicKey"])
            return answer

        yield register


@pytest.fixture
def connect(register: Callable[[str], dict[str, Any]]) -> Iterator[Connect]:
    """Connects a native WireGuard client that knows nothing but the orchestrator's answer."""
    with ExitStack() as connected:

        def connect(name: str) -> Client:
            config = Config.from_registration(register(name))
            return connected.enter_context(clients.connected(name, config))

        yield connect
