"""Policies: what servers of both ends do with them, the fake as they do, and whether they judge as we do."""

import ipaddress
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.headscale import EXIT_ROUTES
from gateway.headscale.client import Headscale
from gateway.headscale.errors import HeadscaleError, NoSuchCallError, RefusedError
from gateway.headscale.policy import ALLOW_ALL, read
from gateway.headscale.policy_reach import GatewayNode, complaints, shut_out
from lab.tools import pinned_tools
from tests.contract.real_headscale import RealHeadscale, running_headscale
from tests.deadlines import wait_for
from tests.unit.headscale.fake import FakeHeadscale

pytestmark = pytest.mark.timeout(600)  # the first run on a machine builds two servers and a client

TOOLS = {"0.29": pinned_tools.HEADSCALE, "0.23": pinned_tools.HEADSCALE_0_23}
COMMENTED = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]},], /* all */ } // so\n'
UNOWNED = '{"acls": [{"action": "accept", "src": ["tag:nobodys"], "dst": ["*:*"]}]}'
SOON = timedelta(hours=1)


@contextmanager
def connected(kind: str, directory: Path, policy_file: str | None = None) -> Iterator[Headscale]:
    """A client of a new server of this kind, such as fake-0.29."""
    what, _, version = kind.partition("-")
    if what == "fake":
        fake = FakeHeadscale("0.29" if version == "0.29" else "0.23")
        if policy_file is not None:
            fake.policy_file = Path(policy_file).read_text() if policy_file else ""
        yield Headscale(fake.url, fake.new_api_key(datetime.now(UTC) + SOON), transport=fake)
        return
    with running_headscale(directory, TOOLS[version], policy_file) as server, _client(server) as client:
        yield client


def _client(server: RealHeadscale) -> Headscale:
    return Headscale(server.url, server.new_api_key(datetime.now(UTC) + SOON))


@pytest.fixture(params=["real-0.29", "real-0.23", "fake-0.29", "fake-0.23"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_policy_in_the_database(kind: str, tmp_path: Path) -> None:
    with connected(kind, tmp_path) as client:
        assert client.policy() is None
        client.set_policy(COMMENTED)
        for refused in ("no policy", UNOWNED):
            with pytest.raises(HeadscaleError):
                client.set_policy(refused)
        stored = client.policy()
        assert stored
        assert (stored.text, stored.in_a_file) == (COMMENTED, False)
        client.set_policy(ALLOW_ALL)
        stored = client.policy()
        assert stored
        assert stored.text == ALLOW_ALL


def test_a_server_is_asked_whether_it_would_take_a_policy(kind: str, tmp_path: Path) -> None:
    with connected(kind, tmp_path) as client:
        if kind.endswith("0.23"):
            with pytest.raises(NoSuchCallError):
                client.check_policy(COMMENTED)
            return
        client.check_policy(COMMENTED)
        client.check_policy('{"acls": [{"action": "accept", "src": ["not-there-yet@"], "dst": ["*:*"]}]}')
        for refused in ("no policy", UNOWNED, '{"acl": []}'):
            with pytest.raises(HeadscaleError) as error:
                client.check_policy(refused)
            assert not isinstance(error.value, NoSuchCallError)
        assert client.policy() is None


@pytest.mark.parametrize("text", ["", COMMENTED])
def test_a_policy_in_a_file_is_read_and_not_set(kind: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.hujson"
    file.write_text(text)
    with connected(kind, tmp_path, str(file) if text else "") as client:
        stored = client.policy()
        assert stored
        assert (stored.text, stored.in_a_file) == (text, True)
        with pytest.raises(RefusedError, match="update is disabled"):
            client.set_policy(ALLOW_ALL)


# Whether the judgement is right: a gateway, a node of somebody else, and what each may do by a policy.

TAG, PEER = "tag:meshgate", "somebody"


def _rules(*rules: tuple[str, str]) -> dict[str, Any]:
    acls = [{"action": "accept", "src": [source], "dst": [destination]} for source, destination in rules]
    return {"tagOwners": {TAG: []}, "acls": acls}


@pytest.fixture(scope="module", params=["0.29", "0.23"])
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Mesh"]:
    directory = tmp_path_factory.mktemp(request.param)
    with running_headscale(directory, TOOLS[request.param]) as server, _client(server) as client:
        yield Mesh(server, client, is_new=request.param == "0.29")


class Mesh:
    """A server with a gateway, which is an exit node, and another node."""

    def __init__(self, server: RealHeadscale, client: Headscale, *, is_new: bool) -> None:
        self.server = server
        self.client = client
        self.is_new = is_new
        self.gateway = GatewayNode("meshgate-one", "meshgate-prod", (TAG,))
        self._join(self.gateway.name, self.gateway.user, self.gateway.tags, EXIT_ROUTES)
        self._join(PEER, PEER, (), ())
        nodes = {node.name: node for node in client.nodes()}
        client.approve_routes(nodes[self.gateway.name], EXIT_ROUTES)
        self.peer_address = nodes[PEER].addresses[0]

    def _join(self, hostname: str, user_name: str, tags: tuple[str, ...], routes: tuple[str, ...]) -> None:
        user = self.client.ensure_user(user_name)
        key = self.client.create_pre_auth_key(user, expiration=datetime.now(UTC) + SOON, tags=tags)
        self.server.join(key.key.get_secret_value(), hostname, routes)
        wait_for(lambda: any(node.name == hostname and node.connected for node in self.client.nodes()), hostname, 30)

    def reaches_peer(self) -> bool:
        """Whether a packet of the gateway gets through the peer's filter."""
        done = self.server.tailscale(self.gateway.name, "ping", "--icmp", "-c=1", "--timeout=2s", self.peer_address)
        return "pong" in done.stdout

    def lets_peer_out(self) -> bool:
        """Whether the gateway's filter lets a packet of the peer pass to the Internet."""
        netmap = json.loads(self.server.tailscale(self.gateway.name, "debug", "netmap").stdout)
        return any(
            _holds(rule["Srcs"], self.peer_address) and _holds([one["Net"] for one in rule["Dsts"]], "192.0.2.1")
            for rule in netmap["PacketFilter"] or ()
        )


def _holds(networks: list[str], address: str) -> bool:
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in networks)


@pytest.mark.parametrize(
    "policy",
    [
        _rules(("*", "*:*")),
        _rules((TAG, "*:*")),
        _rules((TAG, "100.64.0.0/10:*"), ("*", "autogroup:internet:*")),
        _rules(("*", "autogroup:internet:*")),
        _rules((f"{PEER}@", "*:*")),
        _rules((TAG, "autogroup:internet:*")),
    ],
    ids=["all", "gateway", "addresses", "internet", "others", "gateway-internet"],
)
def test_what_is_judged_is_what_happens(mesh: Mesh, policy: dict[str, Any]) -> None:
    text = json.dumps(policy) if mesh.is_new else json.dumps(policy).replace("@", "")
    mesh.client.set_policy(text)
    judged = read(json.loads(text))
    reaches = not shut_out(judged, mesh.gateway)
    wait_for(lambda: mesh.reaches_peer() is reaches, f"a gateway that reaches the peer: {reaches}", 30)
    said = complaints(judged, mesh.gateway, tags_need_owners=True)
    exits = not any("as exit node" in one for one in said)
    wait_for(lambda: mesh.lets_peer_out() is exits, f"a gateway that is an exit node for the peer: {exits}", 30)
