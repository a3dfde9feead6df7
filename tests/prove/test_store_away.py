"""Ten minutes without etcd, whose leader is among the killed: no packet is lost, and no tunnel."""

import time
from pathlib import Path

import pytest

from lab.tools import go_builds, pinned_tools
from tests.contract.agent.pair import REMEDY, detail, made_pair, peers, try_to_register, warnings
from tests.contract.agent.world import FAR_4
from tests.deadlines import wait_for

AWAY_S = 600
ASKED_EVERY_S = 20


@pytest.mark.timeout(AWAY_S + 120)
def test_ten_minutes_without_the_store_cost_no_packet(tmp_path: Path) -> None:
    with (
        made_pair(tmp_path, str(go_builds.resolve(pinned_tools.WIREGUARD_GO))) as pair,
        pair.first.new_client() as client,
    ):
        client.configure(pair.first.register(client.keys.public))
        assert client.reaches(FAR_4)
        with client.pinging(FAR_4, 0.1) as pings:
            leader = pair.etcd.leader()
            pair.etcd.kill(leader, (leader + 1) % 3)
            until = time.monotonic() + AWAY_S
            while time.monotonic() < until:
                status, said = detail(try_to_register(pair.first))
                assert status == 503
                assert REMEDY in said
                time.sleep(ASKED_EVERY_S)
            assert peers(pair.first) == peers(pair.second) == {client.keys.public}
            pair.etcd.start(leader, (leader + 1) % 3)
            wait_for(lambda: not warnings(pair.first) and not warnings(pair.second), "etcd to be found well", within=30)
        assert pings.lost == []
        assert try_to_register(pair.first).status_code == 201
        wait_for(lambda: len(peers(pair.second)) == 2, "the new device at the other gateway", within=1)
