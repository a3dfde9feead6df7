"""Two real gateways that share an etcd: what each does, the other does; and traffic while etcd is away."""

from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.contract.agent.pair import REMEDY, Pair, detail, made_pair, peers, revoke, try_to_register, warnings
from tests.contract.agent.world import FAR_4
from tests.deadlines import wait_for


@pytest.fixture
def pair(tmp_path: Path, wireguard_go: str) -> Iterator[Pair]:
    with made_pair(tmp_path, wireguard_go) as pair:
        yield pair


def test_each_gateway_lets_in_who_registered_at_the_other(pair: Pair) -> None:
    with pair.first.new_client() as client:
        answer = pair.first.register(client.keys.public, name="phone")
        wait_for(lambda: client.keys.public in peers(pair.second), "the device at the other gateway", within=1)
        assert pair.second.register(client.keys.public)["addresses"] == answer["addresses"]
        client.configure(answer)
        assert client.reaches(FAR_4)
        assert revoke(pair.second, client).status_code == 204
        wait_for(lambda: client.keys.public not in peers(pair.first), "the device's end at the first", within=1)
        assert not client.reaches(FAR_4, within_s=1)


def test_without_etcd_traffic_goes_on_and_a_revocation_is_made_up_for(pair: Pair) -> None:
    first, second, etcd = pair.first, pair.second, pair.etcd
    with first.new_client() as client, first.new_client() as revoked:
        client.configure(first.register(client.keys.public))
        first.register(revoked.keys.public)
        wait_for(lambda: len(peers(second)) == 2, "both devices at the other gateway", within=1)
        assert client.reaches(FAR_4)
        with client.pinging(FAR_4, 0.02) as pings:
            etcd.kill(0, 2)
            status, said = detail(try_to_register(first))
            assert status == 503
            assert REMEDY in said
            (warning,) = warnings(first)
            assert REMEDY in warning
            assert 'meshgate_problem{part="store"} 1.0' in first.probe("/metrics").text
            status, said = detail(revoke(first, revoked))
            assert status == 503
            assert "the device is shut out here, and by the other members as soon as the store is back" in said
            assert peers(first) == {client.keys.public}
            first.stop_agent(SIGKILL)
            first.start_agent()
            first.wait_until_ready()
            assert peers(first) == {client.keys.public}
            assert detail(try_to_register(first))[0] == 503
            etcd.start(0, 2)
            wait_for(lambda: warnings(first) is warnings(second) is None, "etcd to be found well", within=20)
        assert pings.lost == []
        wait_for(lambda: peers(second) == {client.keys.public}, "the revocation at the other gateway", within=2)
        assert try_to_register(first).status_code == 201
        wait_for(lambda: len(peers(second)) == 2, "the new device at the other gateway", within=1)
