"""The mesh peer: a real tailscaled in a namespace of its own, which joins like any user's machine."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from console.errors import StepError
from console.run import capture
from console.waiting import until
from gateway.headscale.client import Headscale
from gateway.headscale.errors import UnavailableError
from infra.resources import connections
from lab import paths
from lab.cluster import kube, surroundings
from lab.network.addresses import CLUSTER

HOSTNAME = "mesh-peer"
USER = "lab"
"""The Headscale user that owns the peer."""

URL = f"https://{CLUSTER.host}"

API_KEY_SECRET = ("headscale", connections.API_KEY_SECRET, connections.API_KEY)
"""Namespace, name and key of the Secret in which our program keeps a managed server's API key."""

KEY_LIFETIME = timedelta(minutes=10)
JOIN_SECONDS = 60
ANSWER_SECONDS = 60


@dataclass(frozen=True)
class MeshPeer:
    """The peer as the mesh knows it."""

    ipv4: str
    ipv6: str
    node_key: str


def headscale(ca_certificate: str) -> Headscale:
    """Return a client of the stack's Headscale, with the API key that our program keeps in the cluster."""
    if (api_key := kube.secret_value(*API_KEY_SECRET)) is None:
        raise StepError("Headscale's API key is not there: the Secret headscale-api-key in namespace headscale.")
    return Headscale(URL, api_key, ca_certificate=ca_certificate)


def join(tailscale: Path, ca_certificate: str) -> MeshPeer:
    """Let the peer join the mesh, unless it is connected to this very Headscale already."""
    with headscale(ca_certificate) as server:
        until(
            partial(_answers, server),
            deadline=ANSWER_SECONDS,
            otherwise=lambda: StepError(f"Headscale at {URL} does not answer.", paths.LOGS / "tls-front.log"),
        )
        if (peer := _current(tailscale)) and any(
            node.node_key == peer.node_key and node.online for node in server.nodes()
        ):
            return peer
        user = server.ensure_user(USER)
        # Not for one use: a forced login that has to be repeated comes with a new node key, which such a key refuses.
        key = server.create_pre_auth_key(user, expiration=datetime.now(UTC) + KEY_LIFETIME, reusable=True)
    key_file = surroundings.MESH_PEER_STATE / "auth-key"
    key_file.touch(mode=0o600)
    key_file.write_text(key.key.get_secret_value())
    try:
        _tailscale(
            tailscale,
            "up",
            "--reset",
            "--force-reauth",
            f"--login-server={URL}",
            f"--auth-key=file:{key_file}",
            f"--hostname={HOSTNAME}",
            "--accept-dns=false",
            f"--timeout={JOIN_SECONDS}s",
        )
    finally:
        key_file.unlink()
    if (joined := _current(tailscale)) is None:
        raise StepError("The mesh peer joined, but has no address.", paths.LOGS / "mesh-peer.log")
    return joined


def _answers(server: Headscale) -> bool:
    """Say whether Headscale answers; after a restart of the node its pod comes up last."""
    try:
        server.nodes()
    except UnavailableError:
        return False
    return True


def _current(tailscale: Path) -> MeshPeer | None:
    """Return what tailscaled says of itself; None unless it is connected."""
    status = json.loads(_tailscale(tailscale, "status", "--json", "--peers=false"))
    addresses = status.get("TailscaleIPs") or []
    if status["BackendState"] != "Running" or len(addresses) != 2:
        return None
    ipv4, ipv6 = sorted(addresses, key=lambda address: ":" in address)
    return MeshPeer(ipv4, ipv6, status["Self"]["PublicKey"])


def _tailscale(tailscale: Path, *arguments: str) -> str:
    return capture([tailscale, f"--socket={surroundings.MESH_PEER_SOCKET}", *arguments], doing="let the mesh peer join")
