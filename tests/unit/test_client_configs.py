"""What a change takes from the configs that clients have, and what it only adds."""

from collections.abc import Mapping
from typing import Any

import pytest

from infra import previous_keys
from infra.client_configs import ASKED_AT, ISSUER, PUBLIC_KEY, held, losses, moved
from infra.previous_keys import PREVIOUS, Counted, Held
from infra.settings.gateway import GatewaySettings
from tests.unit.resources.fake_connections import UNKNOWN

EVERY_WAY: dict[str, Any] = {
    "name": "one",
    "endpoint": "vpn.example.com:31820",
    "exposure": "LoadBalancer",
    "access": ["wireguard", "openvpn", "ipsec"],
    "openvpn": {"udp_port": 1194, "tcp_port": 443},
    "client_networks": ["10.77.0.0/16", "fd77::/64"],
}


def configs(**changes: object) -> Held:
    settings = {name: value for name, value in (EVERY_WAY | changes).items() if value is not None}
    return held(GatewaySettings.model_validate(settings), "meshgate")


def told(before: Held, after: Held) -> list[str]:
    return [loss.sentence(None) for loss in losses({"one": before}, {"one": after})]


WIREGUARD: dict[str, Any] = {"access": ["wireguard"], "openvpn": None}


@pytest.mark.parametrize(
    "changes",
    [
        {"client_networks": ["10.77.0.0/16", "fd77::/48"]},
        {"mtu": 1400, "dns": ["192.0.2.53"], "persistent_keepalive": 10},
        {"block_networks": ["192.0.2.0/24"]},
        {"image": "another", "token_rotation": "2027", "tags": ["tag:one"]},
    ],
)
def test_what_costs_no_config(changes: dict[str, Any]) -> None:
    assert told(configs(), configs(**changes)) == []


def test_one_more_way_port_network_or_gateway_costs_no_config() -> None:
    less = configs(**WIREGUARD, client_networks=["10.77.0.0/24"], allowed_ips=["192.0.2.0/24"])
    more = configs(client_networks=["10.77.0.0/16", "fd77::/64"])
    assert told(less, more) == []
    assert told(configs(openvpn={"udp_port": 1194}), configs()) == []
    assert list(losses({"one": less}, {"one": less, "two": more})) == []


def test_what_no_client_ever_had_is_not_missed() -> None:
    """No way but WireGuard dials the endpoint's port; IPv6 is nobody's without an IPv6 client network."""
    alone = {"access": ["openvpn"]}
    assert told(configs(**alone), configs(**alone, endpoint="vpn.example.com:31999")) == []
    four = {**WIREGUARD, "client_networks": ["10.77.0.0/16"]}
    assert told(configs(**four), configs(**four, allowed_ips=["0.0.0.0/1", "128.0.0.0/1"])) == []


SO = "so its devices would need new configs."
BY_WIREGUARD, BY_OPENVPN, BY_IPSEC = (
    f"so its devices by {way} would need new configs." for way in ("WireGuard", "OpenVPN", "IPsec")
)


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        (
            {"endpoint": "vpn.example.com:31999"},
            [f"gateway one: `endpoint` changes, and clients dial vpn.example.com:31820, {BY_WIREGUARD}"],
        ),
        (
            {"endpoint": "other.example.com:31820"},
            [
                f"gateway one: `endpoint` changes, and clients dial vpn.example.com:31820, {BY_WIREGUARD}",
                "gateway one: `endpoint` or `openvpn` changes, and clients dial udp:vpn.example.com:1194, "
                f"tcp:vpn.example.com:443, {BY_OPENVPN}",
                f"gateway one: `endpoint` changes, and clients dial vpn.example.com, {BY_IPSEC}",
            ],
        ),
        (
            {"openvpn": {"udp_port": 1195, "tcp_port": 443}},
            [f"gateway one: `endpoint` or `openvpn` changes, and clients dial udp:vpn.example.com:1194, {BY_OPENVPN}"],
        ),
        (
            {"access": ["wireguard", "ipsec"], "openvpn": None},
            [f"gateway one: `access` does not have openvpn any more, {BY_OPENVPN}"],
        ),
        (
            {"access": ["openvpn", "ipsec"]},
            [f"gateway one: `access` does not have wireguard any more, {BY_WIREGUARD}"],
        ),
        (
            {"client_networks": ["10.78.0.0/16", "fd77::/64"]},
            [
                "gateway one: `client_networks` become 10.78.0.0/16, fd77::/64, and devices have addresses of "
                f"10.77.0.0/16, which they lose with `renumber: true`, {SO}"
            ],
        ),
        (
            {"client_networks": ["10.77.0.0/24"]},
            [
                "gateway one: `client_networks` become 10.77.0.0/24, and devices have addresses of 10.77.0.0/16, "
                f"fd77::/64, which they lose with `renumber: true`, {SO}"
            ],
        ),
        (
            {"client_networks": ["10.76.0.0/15", "fd77::/64"]},
            [
                "gateway one: `client_networks` become 10.76.0.0/15, fd77::/64, and devices have addresses of "
                f"10.77.0.0/16, which they lose with `renumber: true`, {SO}"
            ],
        ),
    ],
)
def test_what_makes_configs_useless(changes: dict[str, Any], lost: list[str]) -> None:
    assert told(configs(), configs(**changes)) == lost


def test_a_narrower_tunnel() -> None:
    before = configs(**WIREGUARD, allowed_ips=["10.5.0.0/16", "100.64.0.0/10", "fd00::/8"])
    after = configs(**WIREGUARD, allowed_ips=["10.5.0.0/17", "10.5.128.0/17", "100.64.0.0/11", "::/0"])
    assert told(before, after) == [
        "gateway one: `allowed_ips` become 10.5.0.0/17, 10.5.128.0/17, 100.64.0.0/11, ::/0, and devices send "
        f"100.64.0.0/10 into the tunnel, {SO}"
    ]


@pytest.mark.parametrize("after", ["another key", UNKNOWN])
def test_another_key(after: object) -> None:
    """Unknown is one that `up` will make."""
    before = {**configs(), PUBLIC_KEY: "key", ISSUER: "digest"}
    assert told(before, {**before, PUBLIC_KEY: after}) == [
        f"gateway one: its WireGuard key becomes another one, {BY_WIREGUARD}"
    ]
    assert told(before, {**before, ISSUER: after}) == [
        f"gateway one: its issuing certificate becomes another one, {BY_OPENVPN}",
        f"gateway one: its issuing certificate becomes another one, {BY_IPSEC}",
    ]
    assert told(before, before) == []


ROTATED, NEXT = "vpn.example.com:31820", "vpn.example.com:31821"


def rotated(key: object = UNKNOWN, until: str | None = None, **changes: object) -> Held:
    """The same gateway with another key at another port, and the one that it had beside it."""
    previous = {"public_key": key, "endpoint": ROTATED} | ({"until": until} if until else {})
    return {**configs(endpoint=NEXT, **changes), PUBLIC_KEY: UNKNOWN, PREVIOUS: previous}


def test_another_key_beside_the_one_that_was() -> None:
    before = {**configs(), PUBLIC_KEY: "key"}
    assert told(before, rotated()) == []
    assert told(before, {**rotated(), PREVIOUS: {"public_key": UNKNOWN, "endpoint": "vpn.example.com:31999"}}) == [
        f"gateway one: `endpoint` changes, and clients dial {ROTATED}, {BY_WIREGUARD}"
    ]
    under_way = {**rotated("key"), PUBLIC_KEY: "next"}
    assert told(under_way, {**under_way, **configs(endpoint=NEXT, mtu=1400)}) == []
    assert told(under_way, {**under_way, PUBLIC_KEY: "another"}) == [
        f"gateway one: its WireGuard key becomes another one, {BY_WIREGUARD}"
    ]


@pytest.mark.parametrize("before", ["before its time", "at no time"])
def test_the_end_of_the_previous_key_is_a_loss_of_those_who_use_it(before: str) -> None:
    under_way = {**rotated("key", "2100-01-01T00:00:00+00:00" if "before" in before else None), PUBLIC_KEY: "next"}
    over = {**configs(endpoint=NEXT), PUBLIC_KEY: "next"}
    (loss,) = losses({"one": under_way}, {"one": over})
    ends = "gateway one: the WireGuard key before the present one ends, and devices that still use it"
    assert loss.sentence(Counted(12, 3)) == f"{ends} (3 of 12) would need new configs."
    assert loss.sentence(None) == f"{ends} would need new configs."
    assert (loss.is_nobodys(Counted(12, 0)), loss.is_nobodys(Counted(12, 3)), loss.is_nobodys(None)) == (
        True,
        False,
        False,
    )
    assert not loss.guarded, "no resource ends with it"


@pytest.mark.parametrize("present", ["next", UNKNOWN])
def test_at_its_time_the_previous_key_is_lost_already(present: object) -> None:
    """A preview does not know the present key then, and it stays."""
    ended = {**rotated("key", "2020-01-01T00:00:00+00:00"), PUBLIC_KEY: "next"}
    assert told(ended, {**configs(endpoint=NEXT), PUBLIC_KEY: present}) == []


def test_what_is_told_of_a_rotation() -> None:
    before: Mapping[str, Held] = {"one": {**configs(), PUBLIC_KEY: "key"}}
    after: Mapping[str, Held] = {"one": rotated("key", "2100-01-01T00:00:00+00:00")}
    end = "2100-01-01T00:00:00+00:00"
    becomes, works = (
        "its WireGuard key becomes another one",
        f"the WireGuard key before the present one works until {end}",
    )
    cases: list[tuple[Mapping[str, Held], Counted | None, str]] = [
        (before, Counted(12, 0), f"{becomes}, and its devices (12 in all) go on with the one before it until {end}."),
        (before, None, f"{becomes}, and its devices go on with the one before it until {end}."),
        (after, Counted(12, 3), f"{works}; devices that still use it: 3 of 12."),
        (after, None, f"{works}."),
        (
            after,
            Counted(12, 0),
            "no device uses the WireGuard key before the present one any more: `previous_key` can be taken out.",
        ),
    ]
    for old, counted, sentence in cases:
        told_now = previous_keys.told(old, after, {"one": counted} if counted else {})
        assert list(told_now) == [f"gateway one: {sentence}"]
    assert list(previous_keys.told({}, after, {})) == [], "a stack of its first `up` has nobody"
    assert list(previous_keys.told(after, before, {})) == []


def test_a_gateway_that_goes() -> None:
    (loss,) = losses({"one": configs(), "two": configs()}, {"two": configs()})
    assert loss.sentence(Counted(12, 0)) == (
        "gateway one: `gateways` does not have it any more, so its devices would need new configs (the gateway has 12 "
        "in all)."
    )


def test_another_headscale() -> None:
    (loss,) = moved("https://a.example.com", "https://b.example.com")
    assert loss.sentence(None) == (
        "`headscale.url` changes from https://a.example.com to https://b.example.com, and who is in the mesh knows the "
        "old one, so each node and device would have to join the mesh again."
    )
    assert not list(moved(None, "https://b.example.com"))
    assert not list(moved("https://a.example.com", "https://a.example.com"))


def test_where_a_gateway_is_asked_for_its_devices() -> None:
    assert configs()[ASKED_AT] == "meshgate/meshgate-one"
    machine: dict[str, Any] = {"name": "edge", "endpoint": "vpn.example.com:51820", "target": "metal"}
    for peers_url, place in [
        ("http://10.0.0.5:8080", "http://10.0.0.5:8081/metrics"),
        ("http://[fd00::5]", "http://[fd00::5]:8081/metrics"),
        ("https://edge.example.com", None),
        (None, None),
    ]:
        settings = GatewaySettings.model_validate(machine | {"peers_url": peers_url})
        assert held(settings, "meshgate").get(ASKED_AT) == place
