"""Two real gateways that share an etcd, by TLS with client certificates, in network namespaces."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trustme

from tests.contract.agent.conftest import made_world
from tests.contract.agent.etcd import EtcdCluster, started
from tests.contract.agent.namespaces import Namespace
from tests.contract.agent.world import Client, World
from tests.unit.agent.fakes import key_pair

ETCD, FIRST, SECOND = "10.250.0.1", "10.250.0.11", "10.250.0.12"
REMEDY = "etcd has no quorum: start its members until more than half of them run and reach each other"


@dataclass
class Pair:
    """Two members of one gateway, and their etcd."""

    first: World
    second: World
    etcd: EtcdCluster


@contextmanager
def made_pair(directory: Path, wireguard_go: str) -> Iterator[Pair]:
    """Both run and are ready."""
    with ExitStack() as stack:
        for name in ("first", "second"):
            (directory / name).mkdir()
        first, second = (
            stack.enter_context(made_world(directory / name, wireguard_go)) for name in ("first", "second")
        )
        namespace = Namespace("etcd")
        stack.callback(namespace.delete)
        connect(namespace, [first, second])
        etcd = stack.enter_context(started(etcd_by_tls(directory, namespace)))
        for world in (first, second):
            world.agents_environment = {
                "MESHGATE_STORE": "etcd",
                "MESHGATE_ETCD_ENDPOINTS": ",".join(etcd.urls),
                "MESHGATE_ETCD_CA_FILE": str(directory / "ca.pem"),
                "MESHGATE_ETCD_CERTIFICATE_FILE": str(directory / "client.pem"),
                "MESHGATE_ETCD_KEY_FILE": str(directory / "client.key"),
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
