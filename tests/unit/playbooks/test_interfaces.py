"""Which of WireGuard's two interfaces each key has, from one rotation to the next, and after a killed play."""

from collections.abc import Mapping
from typing import Any

from tests.unit.playbooks.modules import run

from playbooks.filter_plugins.gateway_interfaces import gateway_interfaces  # isort: skip
from playbooks.library import gateway_settings  # isort: skip


def told(port: int, previous: int | None = None, noted: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    """What a play makes of the settings on a host with that gateway.env."""
    gateway: dict[str, Any] = {"name": "edge", "endpoint": f"vpn.example.com:{port}"}
    if previous:
        gateway["previous_key"] = {"port": previous}
    settings = run(gateway_settings, {"gateway": gateway})
    assert "failed" not in settings, settings
    lines = "".join(f"MESHGATE_{name}={value}\n" for name, value in (noted or {}).items())
    return gateway_interfaces(settings, f"{lines}MESHGATE_MTU=1280\n" if noted else "")


def places(settings: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """Interface and port of each unit; the agent is told the same."""
    agent, units = settings["environment"], settings["wireguard"]
    present, previous = (
        (agent.get(f"MESHGATE_{which}INTERFACE"), agent.get(f"MESHGATE_{which}LISTEN_PORT"))
        for which in ("", "PREVIOUS_")
    )
    said = {(one["interface"], str(one["port"])) for one in units.values()}
    assert said == {one for one in (present, previous) if one != (None, None)}
    assert all(one["interface"] == one["environment"]["MESHGATE_INTERFACE"] for one in units.values())
    assert (settings["interface"], settings["interfaces"][0]) == (present[0], present[0])
    assert {settings["interface"], settings["previous_interface"]} == {"meshgate0", "meshgate1"}
    return {name: (one["interface"], one["port"]) for name, one in units.items()}


def noted(settings: Mapping[str, Any], **keys: str) -> dict[str, str]:
    """What the play leaves in gateway.env."""
    names = ("LISTEN_PORT", "INTERFACE", "PREVIOUS_LISTEN_PORT", "PREVIOUS_INTERFACE")
    agent = settings["environment"]
    return {name: agent[f"MESHGATE_{name}"] for name in names if f"MESHGATE_{name}" in agent} | keys


def test_a_key_keeps_its_interface_from_rotation_to_rotation() -> None:
    first = told(51820)
    assert places(first) == {"wireguard": ("meshgate0", 51820)}
    host = noted(first, PUBLIC_KEY="one")
    assert places(told(51820, noted=host)) == places(first)

    rotated = told(51821, 51820, host)
    assert places(rotated) == {"wireguard": ("meshgate0", 51820), "wireguard-1": ("meshgate1", 51821)}
    assert rotated["previous_public_key"] == "one"
    host = noted(rotated, PUBLIC_KEY="two", PREVIOUS_PUBLIC_KEY="one")
    again = told(51821, 51820, host)
    assert (places(again), again["previous_public_key"]) == (places(rotated), "one")

    over = told(51821, noted=host)
    assert (places(over), over["previous_public_key"]) == ({"wireguard-1": ("meshgate1", 51821)}, "")
    host = noted(over, PUBLIC_KEY="two")
    assert places(told(51821, noted=host)) == places(over)
    assert places(told(51999, noted=host)) == {"wireguard-1": ("meshgate1", 51999)}, "another port of the same key"

    back = told(51820, 51821, host)
    assert places(back) == {"wireguard-1": ("meshgate1", 51821), "wireguard": ("meshgate0", 51820)}
    assert back["previous_public_key"] == "two"


def test_a_rotation_that_follows_another_at_once_keeps_the_key_that_is_in_use() -> None:
    one = {"LISTEN_PORT": "51820", "INTERFACE": "meshgate0"}
    both = noted(told(51821, 51820, one), PUBLIC_KEY="two")
    third = told(51822, 51821, both)
    assert places(third) == {"wireguard-1": ("meshgate1", 51821), "wireguard": ("meshgate0", 51822)}
    assert third["previous_public_key"] == "two"


def test_a_fresh_host_may_be_given_both_keys() -> None:
    fresh = told(51821, 51820)
    assert places(fresh) == {"wireguard": ("meshgate0", 51821), "wireguard-1": ("meshgate1", 51820)}
    assert fresh["previous_public_key"] == ""


def test_the_servers_of_other_ways_are_told_the_same_in_every_rotation() -> None:
    """Another environment would restart charon."""
    gateway = {"name": "edge", "endpoint": "vpn.example.com:51821", "access": ["wireguard", "ipsec"]}
    issuing = {"issuing_certificate": "a chain", "issuing_key": "a key"}
    plain = run(gateway_settings, {"gateway": gateway, **issuing})
    rotated = run(gateway_settings, {"gateway": gateway | {"previous_key": {"port": 51820}}, **issuing})
    lines = "MESHGATE_LISTEN_PORT=51820\nMESHGATE_INTERFACE=meshgate0\n"
    assert gateway_interfaces(rotated, lines)["interface"] == "meshgate1"
    assert gateway_interfaces(rotated, lines)["servers"] == plain["servers"]
