"""How a policy is read and compared, and what is said of one that shuts a gateway out."""

import json
from typing import Any

import pytest

from gateway.headscale.policy import ALLOW_ALL, PolicyError, declared, document, read, same
from gateway.headscale.policy_reach import GatewayNode, complaints, shut_out

UNTAGGED = GatewayNode("meshgate-one", "meshgate-prod")
TAGGED = GatewayNode("meshgate-one", "meshgate-prod", ("tag:meshgate",))
ADOPTED = GatewayNode("meshgate-one", "alice", adopted=True)
OWNED: dict[str, Any] = {"tagOwners": {"tag:meshgate": []}}


def acl(*sources: str, dst: tuple[str, ...] = ("*:*",)) -> dict[str, Any]:
    return {"acls": [{"action": "accept", "src": list(sources), "dst": list(dst)}]}


def grant(*sources: str, dst: tuple[str, ...] = ("*",), **more: object) -> dict[str, Any]:
    return {"grants": [{"src": list(sources), "dst": list(dst), "ip": ["*"], **more}]}


def said(policy: dict[str, Any], gateway: GatewayNode, *, tags_need_owners: bool = True) -> list[str]:
    return list(complaints(read(policy), gateway, tags_need_owners=tags_need_owners))


@pytest.mark.parametrize("gateway", [UNTAGGED, TAGGED, ADOPTED])
@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"acls": None},
        {"groups": {"group:a": ["alice@"]}},
        json.loads(ALLOW_ALL),
        {"ACLs": [{"Action": "accept", "Src": ["*"], "Dst": ["*:*"]}]},
        grant("*"),
    ],
)
def test_what_allows_all_is_never_complained_of(gateway: GatewayNode, policy: dict[str, Any]) -> None:
    assert not said(OWNED | policy, gateway)


def test_a_policy_without_rules_shuts_everybody_out() -> None:
    reaches, exits = said({"acls": []}, UNTAGGED)
    assert reaches == (
        "Headscale's policy lets gateway meshgate-one reach nothing in the mesh, and so none of its clients: `acls` "
        'lacks a rule for it, such as {"action": "accept", "src": ["meshgate-prod@"], "dst": ["*:*"]}.'
    )
    assert exits == (
        "Headscale's policy lets nobody in the mesh use gateway meshgate-one as exit node: for that `acls` lacks a "
        "rule to autogroup:internet:*; the gateway's own clients need none."
    )


@pytest.mark.parametrize(
    ("gateway", "source", "reaches"),
    [
        (UNTAGGED, "*", True),
        (UNTAGGED, "autogroup:danger-all", True),
        (UNTAGGED, "meshgate-prod@", True),
        (UNTAGGED, "meshgate-prod", True),
        (UNTAGGED, "alice@", False),
        (UNTAGGED, "meshgate-prod@example.com", False),
        (UNTAGGED, "group:ours", True),
        (UNTAGGED, "group:theirs", False),
        (UNTAGGED, "group:unknown", False),
        (UNTAGGED, "autogroup:member", True),
        (UNTAGGED, "autogroup:tagged", False),
        (UNTAGGED, "tag:meshgate", False),
        (UNTAGGED, "100.64.0.0/10", True),
        (UNTAGGED, "fd7a:115c:a1e0::7", True),
        (UNTAGGED, "server", True),
        (TAGGED, "*", True),
        (TAGGED, "tag:meshgate", True),
        (TAGGED, "tag:other", False),
        (TAGGED, "autogroup:tagged", True),
        (TAGGED, "autogroup:member", False),
        (TAGGED, "meshgate-prod@", False),
        (TAGGED, "group:ours", False),
        (ADOPTED, "alice@", True),
        (ADOPTED, "someone@example.com", True),
        (ADOPTED, "bob@", False),
    ],
)
def test_who_a_rule_is_for(gateway: GatewayNode, source: str, *, reaches: bool) -> None:
    names = {
        "groups": {"group:ours": ["alice@", "meshgate-prod@"], "group:theirs": ["alice@"]},
        "hosts": {"server": "100.64.0.9"},
    }
    for rules in (acl(source), grant(source)):
        assert (shut_out(read(names | rules), gateway) == "") is reaches


@pytest.mark.parametrize(
    ("destination", "reaches", "exits"),
    [
        ("*", True, True),
        ("autogroup:internet", False, True),
        ("autogroup:member", True, False),
        ("autogroup:self", True, False),
        ("tag:server", True, False),
        ("alice@", True, False),
        ("100.64.0.9", True, False),
        ("0.0.0.0/0", True, True),
        ("server", True, False),
        ("everything", True, True),
    ],
)
def test_where_a_rule_leads(destination: str, *, reaches: bool, exits: bool) -> None:
    hosts = {"hosts": {"server": "100.64.0.9", "everything": "0.0.0.0/0"}}
    for rules in (acl("*", dst=(f"{destination}:80,443",)), grant("*", dst=(destination,))):
        found = said(hosts | rules, UNTAGGED)
        assert (not any("reach nothing" in one for one in found), not any("exit node" in one for one in found)) == (
            reaches,
            exits,
        )


def test_an_ipv6_destination_is_no_port() -> None:
    assert len(said(acl("*", dst=("[::]/0:*", "fd7a:115c:a1e0::9:22")), UNTAGGED)) == 0


def test_a_tagged_gateway_has_no_nodes_of_its_own_user() -> None:
    assert shut_out(read(acl("*", dst=("autogroup:self:*",))), TAGGED)


def test_a_grant_through_another_exit_node_opens_none_here() -> None:
    internet = ("autogroup:internet", "tag:server")
    assert not said(OWNED | grant("*", dst=internet, via=["tag:meshgate"]), TAGGED)
    (exits,) = said(OWNED | grant("*", dst=internet, via=["tag:other"]), TAGGED)
    assert "as exit node" in exits


@pytest.mark.parametrize(
    ("gateway", "source", "exits"),
    [
        (TAGGED, "tag:meshgate", False),
        (TAGGED, "tag:other", True),
        (UNTAGGED, "meshgate-prod@", False),
        (UNTAGGED, "alice@", True),
        (ADOPTED, "alice@", True),
    ],
)
def test_a_rule_for_the_gateway_alone_makes_it_nobodys_exit_node(
    gateway: GatewayNode, source: str, *, exits: bool
) -> None:
    assert any("as exit node" in one for one in said(acl(source), gateway)) is not exits


def test_a_grant_without_ip_opens_no_connection() -> None:
    assert shut_out(read({"grants": [{"src": ["*"], "dst": ["*"], "app": {"example.com/cap": [{}]}}]}), UNTAGGED)


def test_a_tag_without_owners_is_told_where_it_matters() -> None:
    (told,) = said(json.loads(ALLOW_ALL), TAGGED)
    assert told == (
        "Headscale's policy does not know tag:meshgate of gateway meshgate-one: without an entry in `tagOwners`, such "
        "as an empty list, no rule can name it, and no node can be given it later."
    )
    assert not said(json.loads(ALLOW_ALL), TAGGED, tags_need_owners=False)


def test_text_may_have_comments_and_trailing_commas() -> None:
    text = '{ // who\n "acls": [ /* "deny" */ {"action": "accept", "src": ["//*"], "dst": ["*:*"],}, ], }'
    assert declared(text) == acl("//*")
    assert declared(acl("*")) == acl("*")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ('{"acls": [}', "it is not HuJSON: Expecting value near `{"),
        ("policy.hujson", "it is not HuJSON: Expecting value near `policy.hujson`"),
        ("[]", "it is not a policy: give an object"),
        (7, "it is not a policy: give an object"),
        ('{"acls": [], "acls": []}', "it has acls twice in one object"),
        ({"acl": []}, "Headscale's policies have no section acl; they have acls, autoApprovers, grants"),
        ({"acls": ["*"]}, "acls[0] cannot be used: Input should be a valid"),
        ({"acls": [{"src": "*"}]}, "acls[0].src cannot be used: Input should be a valid list"),
        ({"tagOwners": {"tag:a": "alice@"}}, "tagOwners.tag:a cannot be used: Input should be a valid list"),
    ],
)
def test_what_is_no_policy_is_refused_by_one_sentence(given: object, sentence: str) -> None:
    with pytest.raises(PolicyError) as refused:
        declared(given)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


def test_order_and_comments_say_nothing() -> None:
    one = document('{"groups": {"group:a": ["x@", "y@"]}, "acls": [{"src": ["a@", "b@"], "dst": ["c@:1"]}, {}]} // so')
    other = document('{"acls": [{}, {"dst": ["c@:1"], "src": ["b@", "a@"]}], "groups": {"group:a": ["y@", "x@"]}}')
    assert same(one, other)
    assert not same(one, one | {"acls": []})


def test_the_order_of_rules_for_ssh_counts() -> None:
    rules = [{"action": "check", "users": ["root"]}, {"action": "accept", "users": ["root"]}]
    assert not same({"ssh": rules}, {"ssh": rules[::-1]})
