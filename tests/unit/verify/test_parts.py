"""What `make verify` says of a part that does not work."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from gateway.headscale import EXIT_ROUTES
from gateway.headscale.client import Headscale
from infra.kubernetes.client import ClusterError
from infra.resources.connections import Connections
from infra.settings.loading import load
from tests.unit.headscale.fake import FakeHeadscale
from verify import gateways, orchestrator, ways_in
from verify.parts import Part, judged
from verify.stack import RunningStack

GATEWAY = {"name": "one", "endpoint": "vpn.example.com:31820"}
OUTPUTS = {"server_public_key": "the key", "server_endpoint": "vpn.example.com:31820", "peers_url": "http://one:8080"}
ENV = {
    "HEADSCALE_SERVER_PUBLIC_KEY": "the key",
    "HEADSCALE_SERVER_ENDPOINT": "vpn.example.com:31820",
    "GATEWAY_PEERS_URL": "http://one:8080",
    "GATEWAY_PEERS_TOKEN": None,
}


class Cluster:
    """Knows one orchestrator, or none."""

    def __init__(self, env: Mapping[str, str | None] | None) -> None:
        self._env = env

    def deployment(self, namespace: str, name: str) -> dict[str, Any] | None:
        if self._env is None:
            return None
        env = [{"name": name, "value": value} for name, value in self._env.items()]
        return {"spec": {"template": {"spec": {"containers": [{"name": "orchestrator", "env": env}]}}}}


class ToCluster:
    def __init__(self, cluster: object) -> None:
        self.cluster = cluster


def stack(env: Mapping[str, str | None] | None, **outputs: object) -> RunningStack:
    values = {"gateways": [GATEWAY], "orchestrator": {"deployment": "june-orchestrator"}}
    return RunningStack(load(values.get), OUTPUTS | outputs, cast("Connections", ToCluster(Cluster(env))))


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        (ENV, ""),
        (None, "the Deployment is not there: install the orchestrator, or name another in `orchestrator`"),
        (
            {name: value for name, value in ENV.items() if name != "GATEWAY_PEERS_TOKEN"},
            "it lacks GATEWAY_PEERS_TOKEN: run `pulumi up --refresh`",
        ),
        (
            ENV | {"HEADSCALE_SERVER_PUBLIC_KEY": "another"},
            "HEADSCALE_SERVER_PUBLIC_KEY is not what the stack's outputs say: run `pulumi up --refresh`",
        ),
    ],
)
def test_the_orchestrators_env_says_what_the_outputs_say(env: Mapping[str, str | None] | None, problem: str) -> None:
    there = stack(env)
    assert there.settings.orchestrator
    (part,) = orchestrator.parts(there, there.settings.orchestrator)
    assert part.problem == problem


def test_a_way_in_is_named_as_clients_dial_it() -> None:
    openvpn = {"access": ["openvpn"], "openvpn": {"udp_port": None, "tcp_port": 31194}}
    values = {"gateways": [{"name": "one", "endpoint": "[::1]:31820", **openvpn}]}
    (part,) = ways_in.parts(load(values.get).gateways[0], OUTPUTS, agent=None)
    assert part.name == "openvpn at tcp:[::1]:31194, from here"


def test_a_machine_that_has_not_joined_is_told_so() -> None:
    there = stack(ENV, exit_node={"id": ""})
    (gateway,) = there.settings.gateways
    machine = gateway.model_copy(update={"target": "metal"})
    (part,) = gateways.parts(there, machine)
    assert part == Part("exit node in Headscale", "it has not joined yet: run playbooks/gateway.yml, then `pulumi up`")


class ToHeadscale:
    def __init__(self, server: FakeHeadscale, api_key: str) -> None:
        self._server, self._api_key = server, api_key

    def headscale(self) -> Headscale:
        return Headscale(self._server.url, self._api_key, transport=self._server)


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        (None, ""),
        ('{"tagOwners": {"tag:one": []}, "acls": [{"action": "accept", "src": ["tag:one"], "dst": ["*:*"]}]}', ""),
        (
            '{"acls": [{"action": "accept", "src": ["somebody@"], "dst": ["*:*"]}]}',
            "Headscale's policy lets gateway meshgate-one reach nothing in the mesh, and so none of its clients: "
            '`acls` lacks a rule for it, such as {"action": "accept", "src": ["tag:one"], "dst": ["*:*"]}.',
        ),
    ],
)
def test_a_policy_that_shuts_the_gateway_out_is_told(policy: str | None, problem: str) -> None:
    server = FakeHeadscale()
    to_headscale = ToHeadscale(server, server.new_api_key(datetime.now(UTC) + timedelta(hours=1)))
    with to_headscale.headscale() as headscale:
        user = headscale.ensure_user("meshgate-prod")
        end = datetime.now(UTC) + timedelta(hours=1)
        key = headscale.create_pre_auth_key(user, expiration=end, tags=["tag:one"])
        server.join(key.key.get_secret_value(), "meshgate-one")
        (node,) = headscale.nodes()
        headscale.approve_routes(node, EXIT_ROUTES)
    server.policy = policy
    machine = {**GATEWAY, "target": "metal"}
    there = RunningStack(
        load({"gateways": [machine]}.get),
        OUTPUTS | {"exit_node": {"id": node.id}},
        cast("Connections", to_headscale),
    )
    _, part, *_ = gateways.parts(there, there.settings.gateways[0])
    assert part == Part("Headscale's policy", problem)


UNTOLD = "the gateway does not tell who still uses it"


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ("meshgate_peers 12.0\nmeshgate_peers_on_previous_key 3.0\n", "works; devices that still use it: 3 of 12"),
        ("meshgate_peers 12.0\n", f"{UNTOLD}: has `pulumi up` ended well, and does it answer from here?"),
        ("", f"{UNTOLD}: has `pulumi up` ended well, and does it answer from here?"),
    ],
)
def test_who_still_uses_a_rotated_key_is_told(metrics: str, said: str) -> None:
    class Cluster:
        def execute(self, namespace: str, deployment: str, command: object, container: str) -> str:
            assert (namespace, deployment, container) == ("headscale", "meshgate-one", "agent")
            return metrics

    values = {"gateways": [GATEWAY | {"previous_key": {"port": 31819}}]}
    there = RunningStack(load(values.get), OUTPUTS, cast("Connections", ToCluster(Cluster())))
    part = gateways.previous_key(there, there.settings.gateways[0])
    assert part.said == f"the WireGuard key before the present one: {said}"


def test_what_keeps_from_looking_is_the_problem() -> None:
    def look() -> str:
        raise ClusterError("The cluster refuses it.")

    assert judged("a part", look) == Part("a part", "The cluster refuses it.")
