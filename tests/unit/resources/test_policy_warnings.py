"""The server's policy, judged for gateways that are to join."""

import pytest

from gateway.headscale.policy import ALLOW_ALL
from gateway.headscale.policy_reach import GatewayNode
from infra import policy_warnings
from infra.policy_warnings import Judge
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import FakeConnections

ONE, TWO = (GatewayNode(f"meshgate-{name}", "meshgate-prod", ("tag:meshgate",)) for name in ("one", "two"))


@pytest.fixture
def judge(server: FakeHeadscale, cluster: FakeCluster) -> Judge:
    return policy_warnings.of_server(lambda: FakeConnections(server, cluster))


def test_a_server_without_a_policy_is_not_complained_of(judge: Judge) -> None:
    assert not judge(ONE)


def test_all_gateways_are_judged_by_one_look(judge: Judge, server: FakeHeadscale) -> None:
    server.policy = '{"tagOwners": {"tag:meshgate": []}, "acls": [], /* nobody */}'
    assert ["meshgate-one reach nothing" in judge(ONE)[0], "meshgate-two reach nothing" in judge(TWO)[0]] == [True] * 2
    assert server.calls.count("GET policy") == 1


def test_a_tag_must_be_known_where_a_node_is_known_by_it(judge: Judge, server: FakeHeadscale) -> None:
    server.policy = ALLOW_ALL
    assert bool(judge(ONE)) is (server.version == "0.29")


@pytest.mark.parametrize("text", ["", "{}", "not one", '{"acls": 7}'])
def test_a_file_that_says_nothing_is_no_reason_to_warn(judge: Judge, server: FakeHeadscale, text: str) -> None:
    server.policy_file = text
    node = GatewayNode("meshgate-one", "meshgate-prod")
    assert not judge(node)


def test_a_server_that_cannot_be_asked_is_not_complained_of(
    judge: Judge, server: FakeHeadscale, cluster: FakeCluster
) -> None:
    server.policy = '{"acls": []}'
    cluster.secrets.clear()
    assert not judge(ONE)
