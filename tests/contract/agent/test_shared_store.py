"""Two real gateways that share an etcd, by TLS with client certificates; and traffic while it is away."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any

import httpx
import pytest
import trustme

from tests.contract.agent.conftest import made_world
from tests.contract.agent.etcd import EtcdCluster, started
from tests.contract.agent.namespaces import Namespace
from tests.contract.agent.world import FAR_4, Client, World
from tests.deadlines import wait_for
from tests.unit.agent.fakes import key_pair

ETCD, FIRST, SECOND = "10.250.0.1", "10.250.0.11", "10.250.0.12"
REMEDY = "etcd has no quorum: start its members until more than half of them run and reach each other"


@dataclass
class Pair:
    """Two members of one gateway, and their etcd."""

    first: World
    second: World
    etcd: EtcdCluster


@pytest.fixture
def pair(tmp_path: Path, wireguard_go: str) -> Iterator[Pair]:
    with ExitStack() as stack:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
        first, second = (stack.enter_context(made_world(tmp_path / name, wireguard_go)) for name in ("first", "second"))
        namespace = Namespace("etcd")
        stack.callback(namespace.delete)
        connect(namespace, [first, second])
        etcd = stack.enter_context(started(etcd_by_tls(tmp_path, namespace)))
        for world in (first, second):
            world.agents_environment = {
                "MESHGATE_STORE": "etcd",
                "MESHGATE_ETCD_ENDPOINTS": ",".join(etcd.urls),
                "MESHGATE_ETCD_CA_FILE": str(tmp_path / "ca.pem"),
                "MESHGATE_ETCD_CERTIFICATE_FILE": str(tmp_path / "client.pem"),
                "MESHGATE_ETCD_KEY_FILE": str(tmp_path / "client.key"),
            }
            world.start()
        yield Pair(first, second, etcd)


def connect(etcd: Namespace, worlds: list[World]) -> None:
    etcd.run("ip", "link", "add", "lan", "type", "bridge")
    etcd.run("ip", "address", "add", f"{ETCD}/24", "dev", "lan")
    etcd.run("ip", "link", "set", "lan", "up")
    for number, (world, address) in enumerate(zip(worlds, (FIRST, SECOND), strict=True)):
        etcd.run("ip", "link", "add", f"m{number}", "type", "veth", "peer", "name", "etcd", "netns", world.gateway.name)
        etcd.run("ip", "link", "set", f"m{number}", "master", "lan", "up")
        world.gateway.run("ip", "address", "add", f"{address}/24", "dev", "etcd")
        world.gateway.run("ip", "link", "set", "etcd", "up")


def etcd_by_tls(directory: Path, namespace: Namespace) -> EtcdCluster:
    """It lets in nobody without a certificate of its CA."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(directory / "ca.pem")
    for name, certificate in (("server", ca.issue_cert(ETCD)), ("client", ca.issue_cert("meshgate"))):
        certificate.private_key_pem.write_to_path(directory / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(directory / f"{name}.pem")
    trust = ssl.create_default_context(cafile=directory / "ca.pem")
    trust.load_cert_chain(directory / "client.pem", directory / "client.key")
    tls = (
        f"--cert-file={directory / 'server.pem'}",
        f"--key-file={directory / 'server.key'}",
        f"--trusted-ca-file={directory / 'ca.pem'}",
        "--client-cert-auth",
    )
    return EtcdCluster(directory, f"https://{ETCD}", tls, trust, namespace)


def peers(world: World) -> set[str]:
    return set(world.gateway.run("wg", "show", world.interface, "peers").split())


def revoke(world: World, client: Client) -> httpx.Response:
    return world.call("DELETE", f"/v1/peers/{client.keys.public}")


def detail(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["detail"])


def try_to_register(world: World) -> httpx.Response:
    return world.call("POST", "/v1/peers", json={"public_key": key_pair().public})


def warnings(world: World) -> Any:  # noqa: ANN401 - as the agent says it
    status, said = world.readiness()
    assert status == 200, said
    return said.get("warnings")


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
