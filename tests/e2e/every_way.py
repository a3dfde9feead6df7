"""A stack that offers every way in, beside the lab's own in one mesh, with an orchestrator of its own to ask."""

import configparser
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from lab.cluster import kube
from lab.cluster.startup import PKI
from lab.mesh import june, june_app
from lab.network import ipsec_client, openvpn_client, tailscale_client
from lab.network import wireguard_client as clients
from lab.network.addresses import CLUSTER
from lab.network.tunnel_client import TunnelClient
from lab.pulumi import pulumi_host
from lab.pulumi.stack import Stack
from tests.e2e import lab_world, life

NAME = "ways"
NAMESPACE, GATEWAY = f"meshgate-{NAME}", f"meshgate-{NAME}"
JUNE, JUNE_PORT = "june-ways", 30881
ORCHESTRATOR = f"http://{CLUSTER.host}:{JUNE_PORT}"
NATIVE = ("wireguard", "openvpn", "ipsec")
EVERY = (*NATIVE, "mesh")


def settings(lab: Stack, *access: str) -> dict[str, Any]:
    """The lab's, but for what two stacks must not share, and with these ways in."""
    own = lab.settings()
    server = own["headscale"]
    native = [way for way in NATIVE if way in access]
    gateway = own["gateways"][0] | {
        "name": NAME,
        "endpoint": f"{CLUSTER.host}:31825",
        "exposure": "HostPort",
        "client_networks": ["10.82.0.0/16", "fd82::/64"],
        "access": native,
        **({"openvpn": {"udp_port": 31194, "tcp_port": 31443}} if "openvpn" in native else {}),
    }
    return {
        "cluster": own["cluster"],
        "namespace": NAMESPACE,
        "headscale": {"managed": False, "url": server["url"], "ca_certificate": server["ca_certificate"]},
        **({"access": ["mesh"], "mesh_clients": {"image": gateway["image"]}} if "mesh" in access else {}),
        "gateways": [gateway] if native else [],
        "orchestrator": {"namespace": JUNE, "deployment": june.DEPLOYMENT},
    }


@contextmanager
def running(lab: Stack) -> Iterator[Stack]:
    """Give the stack, up, for the time of the block."""
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    june.apply(kube.kubectl("get", "deploy", "-n", june.NAMESPACE, june.DEPLOYMENT, "-o", image), JUNE, JUNE_PORT)
    ways = Stack(pulumi_host.find(), NAME)
    ways.prepare(settings(lab, *EVERY))
    ways.set_secret("headscale_api_key", lab_world.api_key())
    try:
        life.up(ways)
        june.wait(JUNE)
        yield ways
    finally:
        life.destroy(ways)
        ways.remove()
        kube.kubectl("delete", "namespace", JUNE)


def offer(ways: Stack, lab: Stack, *access: str) -> float:
    """Let the stack offer these ways in alone; seconds that a user waits for it."""
    ways.write(settings(lab, *access) | {"headscale_api_key": ways.settings()["headscale_api_key"]})
    start = time.monotonic()
    life.up(ways)
    taken = time.monotonic() - start
    life.assert_settled(ways)
    return taken


def register(name: str, access: str) -> dict[str, Any]:
    """The orchestrator's answer to an app that asks for a way in."""
    return june_app.register(ORCHESTRATOR, name, access=access)


def device_id(answer: Mapping[str, Any]) -> str:
    """What an app unregisters its device by."""
    return str(answer.get("publicKey") or answer["device_id"])


def connected(name: str, access: str, answer: Mapping[str, Any]) -> AbstractContextManager[TunnelClient]:
    """The way's own stock client for the time of the block, made from the orchestrator's answer alone."""
    match access:
        case "wireguard":
            return clients.connected(name, clients.Config.from_registration(answer))
        case "openvpn":
            return openvpn_client.connected(name, answer["profile"])
        case "ipsec":
            return ipsec_client.connected(name, answer["profile"])
        case _:
            return tailscale_client.connected(name, answer, PKI.ca)


def connected_by_file(name: str, access: str, content: str, command: str) -> AbstractContextManager[TunnelClient]:
    """The same, made from the file that an example of docs/access.md wrote, and from the command that it said."""
    match access:
        case "wireguard":
            sections = configparser.ConfigParser()
            sections.read_string(content)
            return clients.connected(name, _wireguard(sections["Interface"], sections["Peer"]))
        case "mesh":
            (login_server,) = re.findall(r"--login-server=(\S+)", command)
            return connected(name, access, {"pre_auth_key": content, "login_server": login_server})
        case _:
            return connected(name, access, {"profile": content})


def _wireguard(own: Mapping[str, str], peer: Mapping[str, str]) -> clients.Config:
    return clients.Config.from_registration(
        {
            "privateKey": own["PrivateKey"],
            "address": own["Address"],
            "dns": own.get("DNS", ""),
            "serverPublicKey": peer["PublicKey"],
            "serverEndpoint": peer["Endpoint"],
            "allowedIPs": peer["AllowedIPs"],
            "persistentKeepalive": int(peer["PersistentKeepalive"]),
        }
    )
