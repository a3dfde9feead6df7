import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.tools import go_builds, pinned_tools
from tests.contract.agent.namespaces import sweep
from tests.contract.agent.world import Client, World


@pytest.fixture(scope="session", autouse=True)
def swept() -> None:
    """Nothing is left of runs that were killed."""
    sweep()


@pytest.fixture(scope="session")
def wireguard_go() -> str:
    return str(go_builds.resolve(pinned_tools.WIREGUARD_GO))


@contextmanager
def made_world(directory: Path, wireguard_go: str) -> Iterator[World]:
    assert os.geteuid() == 0, "this test makes network namespaces: run it as root"
    world = World(directory, wireguard_go)
    try:
        yield world
    finally:
        world.delete()


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory, wireguard_go: str) -> Iterator[World]:
    """A running gateway that tests share: they leave it ready."""
    with made_world(tmp_path_factory.mktemp("world"), wireguard_go) as world:
        world.start()
        yield world


@pytest.fixture
def fresh_world(tmp_path: Path, wireguard_go: str) -> Iterator[World]:
    """A gateway of the test's own, not started yet."""
    with made_world(tmp_path, wireguard_go) as world:
        yield world


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    """A registered client with working tunnel, of the test's own."""
    with world.new_client() as client:
        client.configure(world.register(client.keys.public))
        yield client
    world.call("DELETE", f"/v1/peers/{client.keys.public}")
