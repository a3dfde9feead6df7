"""The agent's and the interface's lives: killed, restarted, changed behind the agent's back."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.contract.agent.disks import filled, small_disk
from tests.contract.agent.tailscaled import answering
from tests.contract.agent.world import FAR_4, Client, World
from tests.deadlines import wait_for
from tests.unit.agent.fakes import key_pair

LOSES_FIRST_CALL = """
table inet lossy {
    limit first { rate 1/hour burst 1 packets }
    chain output {
        type filter hook output priority filter;
        udp sport 51820 @th,64,8 1 limit name "first" drop
    }
}
"""
"""A handshake begins with a message of type 1."""


def wait_until_remembered(world: World, client: Client) -> None:
    assert client.reaches(FAR_4)
    path = f"/v1/peers/{client.keys.public}"
    wait_for(lambda: world.call("GET", path).json()["last_endpoint"] is not None, "the endpoint in the store")


def test_a_restart_of_the_agent_loses_no_packet_and_no_session(world: World, client: Client) -> None:
    assert client.reaches(FAR_4)
    handshake = world.gateway.run("wg", "show", world.interface, "latest-handshakes")
    with client.pinging(FAR_4, 0.01) as pings:
        for how in (signal.SIGTERM, signal.SIGKILL):
            world.stop_agent(how)
            world.start_agent()
            world.wait_until_ready()
    assert pings.lost == []
    assert world.gateway.run("wg", "show", world.interface, "latest-handshakes") == handshake


def test_changed_settings_are_taken_up_without_a_lost_packet(world: World, client: Client) -> None:
    assert client.reaches(FAR_4)
    handshake = world.gateway.run("wg", "show", world.interface, "latest-handshakes")
    assert world.agent is not None
    agent = world.agent.pid
    before = in_use(world, client)
    changed = {"DNS": "10.99.0.53", "MTU": "1300", "PERSISTENT_KEEPALIVE": "10", "ALLOWED_IPS": "0.0.0.0/0"}
    with client.pinging(FAR_4, 0.01) as pings:
        with world.more_settings(**changed):
            wait_for(lambda: in_use(world, client) == changed, "the changed settings")
        wait_for(lambda: in_use(world, client) == before, "the settings as they were")
    assert pings.lost == []
    assert world.gateway.run("wg", "show", world.interface, "latest-handshakes") == handshake
    assert (world.agent.pid, world.agent.poll()) == (agent, None)


def in_use(world: World, client: Client) -> dict[str, str]:
    """The settings that API, interface and firewall agree upon."""
    answer = world.call("GET", f"/v1/peers/{client.keys.public}").json()
    link = world.gateway.run("cat", f"/sys/class/net/{world.interface}/mtu").strip()
    rules = world.gateway.run("nft", "list", "ruleset")
    return {
        "DNS": ",".join(server for server in answer["dns"] if server in rules),
        "MTU": link if link == str(answer["mtu"]) else "",
        "PERSISTENT_KEEPALIVE": str(answer["persistent_keepalive"]),
        "ALLOWED_IPS": ",".join(answer["allowed_ips"]),
    }


def test_settings_that_cannot_be_used_change_nothing(world: World, client: Client) -> None:
    before = in_use(world, client)
    with world.more_settings(MTU="9"):
        wait_for(lambda: reload_failed(world, "MESHGATE_SETTINGS_DIR"), "the refusal")
        assert world.readiness()[0] == 200
        assert in_use(world, client) == before
        assert client.reaches(FAR_4)
    wait_for(lambda: not reload_failed(world, "MESHGATE_SETTINGS_DIR"), "the end of the refusal")


def reload_failed(world: World, setting: str) -> bool:
    line = f'meshgate_config_last_reload_successful{{setting="{setting}"}} 0.0'
    return line in world.probe("/metrics").text


def test_a_token_is_rotated_while_the_agent_runs(world: World) -> None:
    old, new = "the-old-token-of-the-app", "the-new-token-of-the-app"
    before = world.tokens.read_text()

    def good(token: str) -> bool:
        status = world.call("GET", f"/v1/peers/{key_pair().public}", token=token).status_code
        assert status in {401, 404}
        return status == 404

    def replace(lines: str) -> None:
        draft = world.tokens.with_name("draft")
        draft.write_text(before + lines)
        draft.rename(world.tokens)

    try:
        replace(f"register {old}\n")
        wait_for(lambda: good(old), "the first token")
        assert world.call("GET", "/v1/peers", token=old).status_code == 403
        replace(f"register {new}\nregister {old}\n")
        wait_for(lambda: good(new), "the second token")
        assert good(old)
        replace(f"register {new}\n")
        wait_for(lambda: not good(old), "the end of the first token")
        assert good(new)
        replace("nonsense\n")
        wait_for(lambda: reload_failed(world, "MESHGATE_TOKEN_FILE"), "the refusal")
        assert good(new)
    finally:
        replace("")
    wait_for(lambda: not good(new), "the end of the second token")


def test_a_device_is_shut_out_while_the_mesh_is_away(fresh_world: World) -> None:
    world = fresh_world
    world.start()
    world.stop_agent()
    world.environment["MESHGATE_TAILSCALE_SOCKET"] = str(world.directory / "tailscaled.sock")
    world.start_agent()
    wait_for(lambda: "tailscaled" in str(world.readiness()), "the gateway that is not ready")
    assert world.readiness()[0] == 503
    key = key_pair().public
    world.register(key)
    wait_for(lambda: key in world.gateway.run("wg", "show", world.interface, "peers"), "the device")
    assert world.call("DELETE", f"/v1/peers/{key}").status_code == 204
    assert key not in world.gateway.run("wg", "show", world.interface, "peers")


def test_the_agent_ends_within_a_second_of_sigterm(world: World, client: Client) -> None:
    assert client.reaches(FAR_4)
    with world.http():  # an idle connection holds nothing up
        assert world.stop_agent() < 1
    assert world.agent is not None
    assert world.agent.returncode == 0
    assert client.reaches(FAR_4), "tunnels, peers and firewall stay"
    world.start_agent()
    world.wait_until_ready()


@pytest.mark.quiet
def test_a_killed_wireguard_process_is_back_within_a_second(world: World, client: Client) -> None:
    wait_until_remembered(world, client)
    with client.pinging(FAR_4, 0.05) as pings:
        for _ in range(3):
            time.sleep(1.5)
            world.kill_wireguard()
        time.sleep(1.5)
    assert pings.longest_gap_s <= 1, pings


@pytest.mark.quiet
def test_an_idle_client_is_called_when_the_interface_is_new_and_left_alone_afterwards(
    world: World, client: Client
) -> None:
    wait_until_remembered(world, client)

    def shown(what: str) -> str:
        lines = world.gateway.tried("wg", "show", world.interface, what).stdout.splitlines()
        return dict(line.split("\t") for line in lines).get(client.keys.public, "")

    world.kill_wireguard()
    assert wait_for(lambda: shown("latest-handshakes") not in {"", "0"}, "a new handshake") < 2
    assert shown("persistent-keepalive") == "25"
    wait_for(lambda: shown("persistent-keepalive") == "off", "the end of the keepalive")


@pytest.mark.quiet
def test_a_call_that_is_lost_is_made_again(world: World, client: Client) -> None:
    wait_until_remembered(world, client)
    with client.pinging(FAR_4, 0.05) as pings:
        time.sleep(1)
        world.gateway.run("nft", "-f", "-", stdin=LOSES_FIRST_CALL)
        try:
            world.kill_wireguard()
            time.sleep(4)
        finally:
            world.gateway.run("nft", "delete", "table", "inet", "lossy")
    assert 1 < pings.longest_gap_s <= 3, f"{pings}; WireGuard itself would repeat it after 5 s"


def test_acknowledged_peers_survive_kills_at_any_moment(fresh_world: World) -> None:
    world = fresh_world
    world.environment["MESHGATE_CLIENT_NETWORKS"] = "10.77.0.0/22,fd77::/64"
    world.start()
    dice = random.Random(1)  # noqa: S311 - when to kill, not a secret
    acknowledged: dict[str, list[str]] = {}
    enough = threading.Event()

    def register_until_enough() -> None:
        while not enough.is_set():
            key = key_pair().public
            try:
                answer = world.call("POST", "/v1/peers", json={"public_key": key})
            except httpx.TransportError:
                continue
            if answer.status_code == 201:
                acknowledged[key] = answer.json()["addresses"]

    callers = [threading.Thread(target=register_until_enough, daemon=True) for _ in range(3)]
    for caller in callers:
        caller.start()
    for kill in range(6):
        time.sleep(dice.uniform(0.1, 0.5))
        world.stop_agent(signal.SIGKILL)
        if kill % 2:
            world.kill_wireguard()
        world.start_agent()
        world.wait_until_ready()
    wait_for(lambda: len(acknowledged) >= 200, "200 registrations")
    enough.set()
    for caller in callers:
        caller.join()
    shown = {
        key: sorted(addresses)
        for key, *addresses in map(
            str.split, world.gateway.run("wg", "show", world.interface, "allowed-ips").splitlines()
        )
    }
    assert {key: shown.get(key) for key in acknowledged} == {
        key: sorted(addresses) for key, addresses in acknowledged.items()
    }
    given = [address for addresses in acknowledged.values() for address in addresses]
    assert len(given) == len(set(given)) >= 400


def test_what_is_changed_by_hand_is_put_back(world: World, client: Client) -> None:
    wait_until_remembered(world, client)
    stranger = key_pair().public
    world.gateway.run("wg", "set", world.interface, "peer", stranger, "allowed-ips", "10.77.0.99/32")
    world.gateway.run("wg", "set", world.interface, "peer", client.keys.public, "remove")
    world.gateway.run("wg", "set", world.interface, "listen-port", "50000")
    world.gateway.run("ip", "address", "add", "10.88.0.1/24", "dev", world.interface)
    world.gateway.run("nft", "flush", "ruleset")

    def put_back() -> bool:
        shown = world.gateway.run("wg", "show", world.interface, "dump")
        return bool(
            stranger not in shown
            and client.keys.public in shown
            and "\t51820\t" in shown
            and "10.88.0.1" not in world.gateway.run("ip", "address", "show", "dev", world.interface)
            and world.rules("postrouting")
        )

    wait_for(put_back, "everything as it was")
    assert client.reaches(FAR_4)


def test_an_expired_peer_is_shut_out_within_five_seconds(world: World, client: Client) -> None:
    world.register(client.keys.public, ttl_seconds=1)
    wait_for(lambda: client.keys.public not in peers(world), "the end", within=6)
    assert world.call("GET", f"/v1/peers/{client.keys.public}").status_code == 404
    assert not client.reaches(FAR_4, within_s=1)


def test_readiness_says_what_is_missing(fresh_world: World) -> None:
    world = fresh_world
    tailscaled = world.directory / "tailscaled.sock"
    world.environment["MESHGATE_TAILSCALE_SOCKET"] = str(tailscaled)
    world.gateway.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")
    world.start_agent()
    wait_for(lambda: world.readiness()[0] == 503, "an answer")
    missing = world.readiness()[1]["missing"]
    assert [line.split(":")[0] for line in missing] == [
        f"the interface {world.interface} does not exist",
        "the kernel does not forward IPv6",
        f"tailscaled does not answer on {tailscaled} (ConnectError)",
    ]
    accepted = key_pair().public
    assert world.call("POST", "/v1/peers", json={"public_key": accepted}).status_code == 202

    world.start_interface()
    world.gateway.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    with answering(tailscaled, "NeedsLogin") as daemon:
        wait_for(lambda: "NeedsLogin" in str(world.readiness()), "the state of tailscaled")
        assert len(world.readiness()[1]["missing"]) == 1
        daemon.state = "Running"
        world.wait_until_ready()
        assert accepted in world.gateway.run("wg", "show", world.interface, "peers")


def test_a_second_agent_is_refused_the_volume_and_the_port(world: World, tmp_path: Path) -> None:
    """Both end with a sentence, and the first agent goes on."""
    for changes, sentence in (
        ({"MESHGATE_HTTP_PORT": "8082", "MESHGATE_PROBE_PORT": "8083"}, "peers.sqlite: database is locked"),
        ({"MESHGATE_STATE_DIR": str(tmp_path)}, "MESHGATE_HTTP_PORT: cannot listen on ::, port 8080"),
    ):
        ended = world.gateway.tried(sys.executable, "-m", "gateway.agent", env={**world.agent_environment(), **changes})
        assert ended.returncode != 0
        assert sentence in ended.stderr
        assert "Traceback" not in ended.stderr
    world.wait_until_ready()


def test_on_a_full_disk_devices_are_shut_out_and_none_is_let_in(fresh_world: World) -> None:
    world, state = fresh_world, fresh_world.directory / "state"
    state.mkdir()
    with small_disk(state):
        world.start()
        stays, goes = key_pair().public, key_pair().public
        for key in (stays, goes):
            world.register(key)
        world.stop_agent()
        with filled(state):
            world.start_agent()
            world.wait_until_ready()
            newcomer = key_pair().public
            refused = world.call("POST", "/v1/peers", json={"public_key": newcomer})
            assert (refused.status_code, refused.json()["detail"].partition(":")[0]) == (
                503,
                "the store of devices cannot be written",
            )
            revoked = world.call("DELETE", f"/v1/peers/{goes}")
            assert revoked.status_code == 503
            assert "shut out but not forgotten yet" in revoked.json()["detail"]
            assert world.gateway.run("wg", "show", world.interface, "peers").split() == [stays]
            assert world.call("GET", f"/v1/peers/{goes}").status_code == 404
            world.kill_wireguard()
            wait_for(lambda: peers(world) == [stays], "those who were not shut out")
        wait_for(lambda: world.call("DELETE", f"/v1/peers/{goes}").status_code == 404, "the end of what was shut out")
        assert world.call("POST", "/v1/peers", json={"public_key": newcomer}).status_code == 201
        world.stop_agent()


def peers(world: World) -> list[str]:
    return world.gateway.tried("wg", "show", world.interface, "peers").stdout.split()


def test_metrics_tell_of_all_peers_and_of_none(world: World, client: Client) -> None:
    assert client.reaches(FAR_4)
    found = world.probe("/metrics").text
    numbers = {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in found.splitlines() if not line.startswith("#"))
    }
    assert numbers["meshgate_peers"] >= 1
    assert numbers["meshgate_pool_addresses"] == 253
    assert numbers["meshgate_tunnel_received_bytes_total"] > 0
    assert numbers["meshgate_tunnel_sent_bytes_total"] > 0
    assert 'meshgate_peers_handshake_within{seconds="180"}' in found.replace("'", '"')
    assert client.keys.public not in found


def test_the_interface_goes_with_its_process(fresh_world: World) -> None:
    world = fresh_world
    world.start_interface()
    wait_for(lambda: world.interface in world.gateway.run("ip", "-brief", "link"), "the interface")
    assert world.holder is not None
    world.holder.terminate()
    assert world.holder.wait(5) == 0
    assert world.interface not in world.gateway.run("ip", "-brief", "link")


def test_kernel_wireguard_is_demanded_where_there_is_none(fresh_world: World) -> None:
    world = fresh_world
    if world.gateway.tried("ip", "link", "add", "probe", "type", "wireguard").returncode == 0:
        world.environment["MESHGATE_WIREGUARD"] = "kernel"
        world.start()  # a kernel that has it must be enough
        return
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.agent.protocols.wireguard.interface_process"],
        env={**world.agent_environment(), "MESHGATE_WIREGUARD": "kernel"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "this kernel has no WireGuard" in ended.stderr


def test_a_whole_life_is_a_quiet_log_of_single_events(fresh_world: World, tmp_path: Path) -> None:
    """JSON in each line, no traceback, nothing twice; the end is no event at all."""
    world = fresh_world
    world.start_interface()
    with (tmp_path / "log").open("wb") as log:
        world.start_agent(log)
        world.wait_until_ready()
        key = key_pair().public
        world.register(key, name='a "phone"')
        world.call("DELETE", f"/v1/peers/{key}")
        world.stop_agent()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert not [line for line in lines if "exception" in line or line["level"] in {"error", "critical"}]
    events = [line["event"] for line in lines if line["logger"].startswith("gateway")]
    assert len(events) == len(set(events))
    assert events[-2:] == ["registered", "revoked"]
    assert [line["key"] for line in lines if line["event"] in {"registered", "revoked"}] == [key[:8]] * 2
    assert key not in (tmp_path / "log").read_text()
