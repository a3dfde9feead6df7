"""The agent's life, as in the unit tests and in the contract tests, at length."""

import random
from pathlib import Path

import pytest

from lab.tools import go_builds, pinned_tools
from tests.contract.agent.etcd import etcd_cluster
from tests.contract.agent.members_life import MembersLife
from tests.contract.agent.walk import Walk
from tests.contract.agent.world import World
from tests.unit.agent.life import live


@pytest.mark.timeout(300)
def test_ten_thousand_steps_of_the_devices_and_their_store() -> None:
    live(lives=50, steps=200)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(100, 120))
def test_ten_thousand_steps_of_the_whole_agent(seed: int, tmp_path: Path) -> None:
    world = World(tmp_path, str(go_builds.resolve(pinned_tools.WIREGUARD_GO)))
    try:
        Walk(world, seed).go(500)
    finally:
        world.delete()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 110))
async def test_two_thousand_steps_of_two_members_and_their_etcd(seed: int, tmp_path: Path) -> None:
    with etcd_cluster(tmp_path) as etcd:
        await MembersLife(random.Random(seed), etcd, tmp_path).live(steps=200)  # noqa: S311 - no secret
