"""What becomes of packets in a host's packet filters; the kernel sees it alike: tests/contract/test_firewalls.py."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.playbooks import modules  # noqa: F401 (lets the rest find what they share)

from ansible.module_utils import meshgate_filters as filters  # isort: skip
from ansible.module_utils import meshgate_iptables as iptables  # isort: skip
from ansible.module_utils.meshgate_packets import arrivals, passages  # isort: skip
from ansible.module_utils.meshgate_firewall import DROPPED, PASSED, PERHAPS, fate  # isort: skip
from ansible.module_utils.meshgate_conditions import Packet  # isort: skip

ARRIVAL = Packet(("prerouting", "input"), 4, "udp", 51820, iif=("eth0",), destination=("203.0.113.1",))
OUT, BACK = passages("meshgate0", ["eth0"], "10.77.0.0/16")
MESH, FROM_MESH = passages("meshgate0", ["tailscale0"], "10.77.0.0/16")

Rules = list[dict[str, Any]]


def saved(rules: str, policies: str = "INPUT ACCEPT, FORWARD ACCEPT", chains: str = "", family: str = "ip") -> Rules:
    """A table as iptables-save prints it."""
    declared = [f":{chain} [0:0]" for chain in policies.split(", ")] + [f":{chain} - [0:0]" for chain in chains.split()]
    found: Rules = iptables.listed("\n".join(["*filter", *declared, *rules.strip().splitlines(), "COMMIT"]), family)
    return found


UFW_CHAINS = "ufw-before-input ufw-not-local ufw-logging-deny ufw-user-input ufw-before-forward ufw-user-forward"
UFW_POLICIES = "INPUT DROP, FORWARD DROP"
UFW = """
-A INPUT -j ufw-before-input
-A FORWARD -j ufw-before-forward
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny
-A ufw-not-local -j DROP
-A ufw-logging-deny -m limit --limit 3/min -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-forward -j ufw-user-forward
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
"""


def ufw(more: str = "") -> Rules:
    return saved(UFW + more, UFW_POLICIES, UFW_CHAINS)


def test_ufw_is_shut_until_both_are_allowed() -> None:
    assert [fate(ufw(), packet).outcome for packet in (ARRIVAL, OUT, BACK)] == [DROPPED, DROPPED, PASSED]
    allowed = "-A ufw-user-input -p udp -m udp --dport 51820 -j ACCEPT\n-A ufw-user-forward -i meshgate0 -j ACCEPT\n"
    assert [fate(ufw(allowed), packet).outcome for packet in (ARRIVAL, OUT, BACK)] == [PASSED] * 3
    (chain,) = fate(ufw(), OUT).chains
    assert filters.blamed("nft", chain) == {
        "family": "ip",
        "table": "filter",
        "chain": "FORWARD",
        "by": "ufw",
        "zone": "",
    }


DOCKER = """
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-USER -j RETURN
-A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -i docker0 ! -o docker0 -j ACCEPT
"""
TAILSCALE = """
-A FORWARD -j ts-forward
-A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000
-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
-A ts-forward -s 100.64.0.0/10 -o tailscale0 -j DROP
-A ts-forward -o tailscale0 -j ACCEPT
"""


def test_dockers_drop_is_open_for_what_tailscaled_forwards_alone() -> None:
    rules = saved(TAILSCALE + DOCKER, "INPUT ACCEPT, FORWARD DROP", "DOCKER-USER DOCKER-FORWARD ts-forward ts-input")
    assert [fate(rules, packet).outcome for packet in (ARRIVAL, MESH, FROM_MESH)] == [PASSED] * 3
    assert [fate(rules, packet).outcome for packet in (OUT, BACK)] == [DROPPED] * 2


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [
        ("", DROPPED),
        ("-A INPUT -p udp -j ACCEPT", PASSED),
        ("-A INPUT -p tcp -m tcp --dport 51820 -j ACCEPT", DROPPED),
        ("-A INPUT -p udp -m multiport --dports 53,51000:52000 -j ACCEPT", PASSED),
        ("-A INPUT -p udp -m udp ! --dport 53 -j ACCEPT", PASSED),
        ("-A INPUT -i eth+ -j ACCEPT", PASSED),
        ("-A INPUT ! -i eth0 -j ACCEPT", DROPPED),
        ("-A INPUT -d 203.0.113.1/32 -j ACCEPT", PASSED),
        ("-A INPUT -d 203.0.113.9/32 -j ACCEPT", DROPPED),
        ("-A INPUT -s 0.0.0.0/0 -j ACCEPT", PASSED),
        ("-A INPUT -s 198.51.100.0/24 -j ACCEPT", PERHAPS),
        ("-A INPUT ! -s 198.51.100.0/24 -j ACCEPT", PERHAPS),
        ("-A INPUT -s 198.51.100.0/24 -j DROP\n-A INPUT -j ACCEPT", PASSED),
        ("-A INPUT ! -s 198.51.100.0/24 -j DROP\n-A INPUT -j ACCEPT", PERHAPS),
        ("-A INPUT -m set --match-set banned src -j DROP\n-A INPUT -j ACCEPT", PASSED),
        ("-A INPUT -m time --timestart 08:00 -j DROP\n-A INPUT -j ACCEPT", PERHAPS),
        ("-A INPUT -m conntrack --ctstate INVALID,DNAT -j DROP\n-A INPUT -j ACCEPT", PERHAPS),
        ("-A INPUT -m conntrack --ctstate NEW -j ACCEPT", PASSED),
        ("-A INPUT -m hashlimit --hashlimit-above 9/sec --hashlimit-name x -j DROP\n-A INPUT -j ACCEPT", PASSED),
        ("-A INPUT -m mark --mark 0x8000/0x8000 -j DROP\n-A INPUT -j ACCEPT", PASSED),
        ("-A INPUT -m connmark ! --mark 0x0/0x1 -j DROP\n-A INPUT -j ACCEPT", PASSED),
        ("-A INPUT -j NFQUEUE --queue-num 0", PERHAPS),
        ('-A INPUT -g ips\n-A INPUT -j ACCEPT\n-A ips -m comment --comment "-j ACCEPT"', DROPPED),
        ("-A INPUT -j ips\n-A INPUT -j ACCEPT\n-A ips -p udp -j RETURN\n-A ips -j DROP", PASSED),
        (
            "-A INPUT -s 198.51.100.0/24 -j ips\n-A INPUT -j ACCEPT\n-A ips -j REJECT --reject-with tcp-reset",
            PASSED,
        ),
    ],
)
def test_a_chain_of_iptables_that_drops_by_its_policy(rules: str, outcome: str) -> None:
    assert fate(saved(rules, "INPUT DROP", "ips"), ARRIVAL).outcome == outcome


def test_another_ip_version_and_another_hook_are_no_matter() -> None:
    assert fate(saved("", "INPUT DROP, FORWARD DROP", family="ip6"), ARRIVAL).outcome == PASSED
    assert fate(saved("", "INPUT ACCEPT, FORWARD DROP, OUTPUT DROP"), ARRIVAL).outcome == PASSED


# What nft has and iptables has not


def match(left: object, right: object, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def meta(key: str, right: object, op: str = "==") -> dict[str, Any]:
    return match({"meta": {"key": key}}, right, op)


def state(right: object) -> dict[str, Any]:
    return match({"ct": {"key": "state"}}, right, "in")


def dport(protocol: str, right: object) -> dict[str, Any]:
    return match({"payload": {"protocol": protocol, "field": "dport"}}, right)


ACCEPT, DROP, REJECT = {"accept": None}, {"drop": None}, {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}
UDP_PORT = {"concat": [{"meta": {"key": "l4proto"}}, {"payload": {"protocol": "th", "field": "dport"}}]}


def jump(target: str, how: str = "jump") -> dict[str, Any]:
    return {how: {"target": target}}


def table(
    chains: dict[str, Sequence[Sequence[object]]], name: str = "t", policy: str = "accept", **sets: Sequence[object]
) -> Rules:
    """A table of nft; its chains input and forward are base chains."""
    place = {"family": "inet", "table": name}
    hooked = {"input": "input", "forward": "forward", "filter_INPUT": "input", "filter_FORWARD": "forward"}
    return [
        {"table": {"family": "inet", "name": name}},
        *({"set": {**place, "name": one, "type": "inet_service", "elem": elements}} for one, elements in sets.items()),
        *(
            {
                "chain": {**place, "name": chain}
                | ({"hook": hooked[chain], "prio": 0, "policy": policy, "type": "filter"} if chain in hooked else {})
            }
            for chain in chains
        ),
        *({"rule": {**place, "chain": chain, "expr": list(rule)}} for chain, rules in chains.items() for rule in rules),
    ]


def firewalld(allowed: Sequence[Sequence[object]] = (), trusted: Sequence[str] = ()) -> Rules:
    """The shape of its table; the Internet comes in by the zone public."""

    def base(suffix: str) -> Sequence[Sequence[object]]:
        first = [[state({"set": ["established", "related"]}), ACCEPT], [meta("iifname", "lo"), ACCEPT]]
        return [*first, [state({"set": ["invalid"]}), DROP], [jump(f"filter_{suffix}_ZONES")], [REJECT]]

    def zones(short: str) -> Sequence[Sequence[object]]:
        return [
            *([meta("iifname", name), jump(f"filter_{short}_trusted", "goto")] for name in trusted),
            [jump(f"filter_{short}_public", "goto")],
        ]

    icmp = meta("l4proto", {"set": ["icmp", "ipv6-icmp"]})
    return table(
        {
            "filter_INPUT": base("INPUT"),
            "filter_FORWARD": base("FORWARD"),
            "filter_INPUT_ZONES": zones("IN"),
            "filter_FORWARD_ZONES": zones("FWD"),
            "filter_IN_public": [[jump("filter_IN_public_allow")], [icmp, ACCEPT], [REJECT]],
            "filter_IN_public_allow": [[dport("tcp", 22), ACCEPT], *allowed],
            "filter_IN_trusted": [[ACCEPT]],
            "filter_FWD_public": [[REJECT]],
            "filter_FWD_trusted": [[ACCEPT]],
        },
        "firewalld",
    )


def test_firewalld_is_shut_until_port_and_interface_are_added() -> None:
    assert [fate(firewalld(), packet).outcome for packet in (ARRIVAL, OUT, BACK)] == [DROPPED, DROPPED, PASSED]
    opened = firewalld([[dport("udp", 51820), ACCEPT]], ["meshgate0"])
    assert [fate(opened, packet).outcome for packet in (ARRIVAL, OUT, BACK)] == [PASSED] * 3
    chains = [filters.blamed("nft", fate(firewalld(), packet).chains[0]) for packet in (ARRIVAL, OUT)]
    assert [(chain["by"], chain["chain"], chain["zone"]) for chain in chains] == [
        ("firewalld", "filter_INPUT", "public"),
        ("firewalld", "filter_FORWARD", "public"),
    ]


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [
        ([], DROPPED),
        ([[dport("udp", "@open"), ACCEPT]], PASSED),
        ([[dport("udp", "@empty"), ACCEPT]], DROPPED),
        ([[dport("tcp", 51820), ACCEPT]], DROPPED),
        ([[match(UDP_PORT, {"set": [{"concat": ["udp", 51820]}]}), ACCEPT]], PASSED),
        ([[match(UDP_PORT, {"set": [{"concat": ["tcp", 51820]}]}), ACCEPT]], DROPPED),
        ([[match({"payload": {"protocol": "ip6", "field": "saddr"}}, "::1", "!="), ACCEPT]], DROPPED),
        ([[match({"payload": {"protocol": "tcp", "field": "flags"}}, "syn", "!="), ACCEPT]], DROPPED),
        ([[match({"payload": {"protocol": "ether", "field": "type"}}, 1), ACCEPT]], PERHAPS),
        ([[match({"payload": {"base": "th", "offset": 0, "len": 8}}, 1), ACCEPT]], PERHAPS),
        ([[match({"meta": {"key": "skuid"}}, 0), ACCEPT]], PERHAPS),
        ([[{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["new", ACCEPT]]}}}]], PASSED),
        ([[{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["invalid", DROP]]}}}]], DROPPED),
        ([[{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [["eth0", jump("on")]]}}}]], PASSED),
        ([[{"limit": {"rate": 9, "per": "second"}}, ACCEPT]], PASSED),
        ([[{"limit": {"rate": 9, "per": "second", "inv": True}}, ACCEPT]], DROPPED),
        ([[{"xt": {"type": "match", "name": "conntrack"}}, {"counter": {}}, ACCEPT]], PERHAPS),
        ([[{"xt": None}]], PERHAPS),
        ([[{"a word of next year's": 1, "and another": 2}, ACCEPT]], PERHAPS),
        ([[{"match": {"right": 1}}, ACCEPT]], PERHAPS),
        ([[{"counter": None}, {"log": None}], [{"xt": {"type": "target", "name": "LOG"}}]], DROPPED),
    ],
)
def test_a_chain_of_nft_that_drops_by_its_policy(rules: Sequence[Sequence[object]], outcome: str) -> None:
    found = table({"input": rules, "on": [[ACCEPT]]}, policy="drop", open=[{"range": [51000, 52000]}], empty=[])
    assert fate(found, ARRIVAL).outcome == outcome


def test_a_table_that_sleeps_and_our_own_drop_nothing() -> None:
    sleeping = table({"input": []}, policy="drop")
    sleeping[0]["table"]["flags"] = ["dormant"]
    assert fate([*sleeping, *table({"input": []}, "meshgate", "drop")], ARRIVAL).outcome == PASSED


def test_every_chain_of_a_hook_has_to_let_it_pass() -> None:
    one, other = table({"input": [[ACCEPT]]}), table({"input": []}, "other", "drop")
    found = fate([*one, *other], ARRIVAL)
    assert (found.outcome, [chain.table for chain in found.chains]) == (DROPPED, ["other"])


# Where rules come from


SAVED = """*filter
:INPUT DROP [0:0]
-A INPUT -p udp -m multiport --dports 500,51820 -j ACCEPT
COMMIT
"""
VAGUE = [
    {"table": {"family": "ip", "name": "filter"}},
    {"chain": {"family": "ip", "table": "filter", "name": "INPUT", "hook": "input", "prio": 0, "policy": "drop"}},
    {
        "rule": {
            "family": "ip",
            "table": "filter",
            "chain": "INPUT",
            "expr": [{"xt": {"type": "match", "name": "multiport"}}, ACCEPT],
        }
    },
]


def told(**programs: str) -> filters.Output:
    return lambda program, *_: programs.get(program.replace("-", "_"), "")


@pytest.fixture(autouse=True)
def no_legacy(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:  # noqa: ANN401
    tables = {family: tmp_path / family for family in filters.LEGACY_TABLES}
    monkeypatch.setattr(filters, "LEGACY_TABLES", tables)
    return tables


def judged(sets: dict[str, filters.Entries]) -> dict[str, Any]:
    found: dict[str, Any] = filters.judged(sets, ARRIVAL)
    return found


@pytest.mark.parametrize("listing", [VAGUE, None])
def test_iptables_says_what_nft_does_not(listing: Rules | None) -> None:
    other = table({"input": []}, "other", "drop")
    sets, _ = filters.rulesets(listing, told(iptables_nft_save=SAVED))
    assert judged(sets)["outcome"] == PASSED
    sets, _ = filters.rulesets([*(listing or VAGUE), *other], told(iptables_nft_save=SAVED))
    assert [chain["table"] for chain in judged(sets)["chains"]] == ["other"]


def test_without_iptables_nobody_can_tell() -> None:
    sets, _ = filters.rulesets(VAGUE, told())
    assert judged(sets)["outcome"] == PERHAPS


def test_legacy_tables_count_beside_nft(no_legacy: Any) -> None:  # noqa: ANN401
    no_legacy["ip"].write_text("filter\n")
    shut = SAVED.replace("51820", "4500")
    sets, unread = filters.rulesets([], told(iptables_legacy_save=shut))
    assert judged(sets) == {
        "version": 4,
        "outcome": DROPPED,
        "chains": [{"family": "ip", "table": "filter", "chain": "INPUT", "by": "iptables-legacy", "zone": ""}],
    }
    assert unread == []
    assert filters.rulesets([], told())[1] == ["ip filter"]


# Which packets


LINKS = {"lo": ["127.0.0.1", "::1"], "eth0": ["203.0.113.1", "2001:db8::1", "fe80::1"], "eth1": ["10.0.0.5"]}
ROUTES = {4: ["eth0"], 6: ["eth0"]}


@pytest.mark.parametrize(
    ("dialled", "packets"),
    [
        ([], [(4, ("eth0",), ("203.0.113.1",)), (6, ("eth0",), ("2001:db8::1",))]),
        (["203.0.113.1"], [(4, ("eth0",), ("203.0.113.1",))]),
        (["2001:db8::1"], [(6, ("eth0",), ("2001:db8::1",))]),
        (["10.0.0.5"], [(4, ("eth1",), ("10.0.0.5",))]),
        (["198.51.100.7"], [(4, ("eth0",), ("203.0.113.1",))]),
        (["0.0.0.0"], [(4, None, None), (6, None, None)]),  # noqa: S104
    ],
)
def test_packets_come_in_where_the_endpoint_is(dialled: list[str], packets: list[Any]) -> None:
    found = arrivals({"protocol": "udp", "port": 51820, "addresses": dialled}, LINKS, ROUTES)
    assert [(packet.version, packet.iif, packet.destination) for packet in found] == packets


def test_a_host_without_ipv6_is_asked_for_ipv4_alone() -> None:
    wanted = {"protocol": "udp", "port": 51820, "addresses": []}
    assert [packet.version for packet in arrivals(wanted, LINKS, {4: ["eth0"], 6: []})] == [4]
