"""Our Ansible modules and the role headscale, run by the real ansible-playbook against real Headscale servers."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gateway.headscale import EXIT_ROUTES
from gateway.headscale.client import Headscale
from gateway.headscale.errors import NotFoundError
from infra.curve25519 import node_key_to_wireguard
from lab import paths
from lab.tools import pinned_tools
from tests.contract.real_headscale import RealHeadscale, running_headscale

pytestmark = pytest.mark.timeout(600)  # the first run on a machine builds two servers and a client

USER, GATEWAY = "meshgate", "edge"
HOSTNAME = f"meshgate-{GATEWAY}"
WRONG_KEY = f"hskey-api-{'a' * 12}-{'b' * 64}"


@dataclass(frozen=True)
class Run:
    """What a user sees of a run."""

    code: int
    text: str

    @property
    def changed(self) -> int:
        """Tasks that changed something, or would have; every one must have gone well."""
        assert self.code == 0, self.text
        return sum(map(int, re.findall(r"\bchanged=(\d+)", self.text)))

    @property
    def refusals(self) -> set[str]:
        """The sentences of a run that failed."""
        assert self.code != 0, self.text
        assert "Traceback" not in self.text
        return {" ".join(said.split()) for said in re.findall(r"\[ERROR\]: (.+?)\nOrigin:", self.text, re.DOTALL)}


@dataclass(frozen=True)
class World:
    """A server, a client of it, and Ansible in a directory of its own. No secret may be in what a run prints."""

    server: RealHeadscale
    client: Headscale
    api_key: str
    directory: Path
    secrets: set[str] = field(default_factory=set)

    def play(self, tasks: list[Any], *options: str, api_key: str | None = None, **settings: object) -> Run:
        """Run tasks for the gateway, as loudly as can be."""
        headscale = {"url": self.server.url, "ca_certificate": None, "user": USER}
        variables = {
            "meshgate_settings": {
                "name": GATEWAY,
                "tags": [],
                "registration_deadline": 30,
                "hostname": HOSTNAME,
                **settings,
                "headscale": {**headscale, **_dict(settings.get("headscale"))},
            },
            "meshgate_headscale_api_key": "{{ lookup('ansible.builtin.env', 'HEADSCALE_API_KEY') }}",
        }
        play = {"hosts": "all", "gather_facts": False, "vars": variables, "tasks": tasks}
        file = self.directory / "play.yml"
        file.write_text(yaml.safe_dump([play]))
        return self.run(file, "-i", f"{GATEWAY},", *options, api_key=api_key)

    def run(self, playbook: Path, *options: str, api_key: str | None = None, **environment: str) -> Run:
        """Run a playbook with -vvv."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), str(playbook), "-vvv", *options],
            cwd=paths.REPOSITORY,
            env={
                **os.environ,
                "ANSIBLE_HOME": str(self.directory / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "HEADSCALE_API_KEY": api_key or self.api_key,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )
        assert "Callback dispatch" not in done.stdout, "--diff knows no lists"
        for secret in {self.api_key, WRONG_KEY, *self.secrets}:
            assert secret not in done.stdout
            assert secret[-20:] not in done.stdout
        return Run(done.returncode, done.stdout)

    def everything(self) -> object:
        """All that a run could change on the server: the user, its usable keys, nodes and their routes."""
        try:
            keys = self.client.pre_auth_keys(self.client.user(USER))
        except NotFoundError:
            return None
        usable = [key.id for key in keys if key.usable]
        return usable, [(node.id, node.approved_routes) for node in self.client.nodes()]


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@pytest.fixture(scope="module", params=["0.29.3", "0.23.0"])
def headscale(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHeadscale]:
    tool = pinned_tools.HEADSCALE if request.param == "0.29.3" else pinned_tools.HEADSCALE_0_23
    with running_headscale(tmp_path_factory.mktemp(request.param), tool) as server:
        yield server


@pytest.fixture
def world(headscale: RealHeadscale, tmp_path: Path) -> Iterator[World]:
    """With a server as it was before anything was run."""
    key = headscale.new_api_key(datetime.now(UTC) + timedelta(hours=1))
    with Headscale(headscale.url, key) as client:
        yield World(headscale, client, key, tmp_path)
        for node in client.nodes():
            client.delete_node(node.id)
        with suppress(NotFoundError):
            client.delete_user(client.user(USER))


def _role(part: str) -> list[Any]:
    return [{"ansible.builtin.include_role": {"name": "headscale", "tasks_from": part}}]


def _kept_in(file: Path) -> list[Any]:
    """Keeps the pre-auth key where the test finds it; never a part of a real play."""
    copy = {"dest": str(file), "content": "{{ headscale_pre_auth_key }}", "mode": "0600"}
    return [{"ansible.builtin.copy": copy, "delegate_to": "localhost", "no_log": True}]


def test_life_of_a_gateway(world: World) -> None:
    """Its key, its node, its removal: each as a check that changes nothing, in truth, and once more."""
    file = world.directory / "pre-auth-key"
    told = world.play(_role("pre_auth_key"), "--check", "--diff")
    assert told.changed == 2, "the user and the key"
    assert world.everything() is None

    joins = [*_role("pre_auth_key"), *_kept_in(file)]
    assert world.play(joins).changed == 3
    key = file.read_text()
    world.secrets.add(key)
    (made,) = (one for one in world.client.pre_auth_keys(world.client.user(USER)) if one.usable)
    given = {"meshgate_pre_auth_key": key, "meshgate_pre_auth_key_id": made.id}
    extra = world.directory / "given.json"
    extra.write_text(json.dumps(given))
    assert world.play(joins, f"--extra-vars=@{extra}").changed == 0, "a key that can be used is not made again"

    world.server.join(key, HOSTNAME, ("10.9.0.0/24", *EXIT_ROUTES))
    before = world.everything()
    told = world.play(_role("approve"), "--check", "--diff")
    assert told.changed == 1
    assert re.search(r"^\+ +- 0\.0\.0\.0/0$", told.text, re.MULTILINE), told.text
    assert world.everything() == before
    approves = [*_role("approve"), {"ansible.builtin.debug": {"msg": "node key {{ headscale_exit_node.node_key }}"}}]
    done = world.play(approves)
    assert done.changed == 1
    (node,) = world.client.nodes()
    assert set(node.approved_routes) == set(EXIT_ROUTES)
    assert f"node key {node.node_key}" in done.text
    assert world.play(approves).changed == 0

    before = world.everything()
    assert world.play(_role("remove"), "--check", "--diff").changed > 0
    assert world.everything() == before
    assert world.play(_role("remove")).changed > 0
    assert world.everything() is None
    assert world.play(_role("remove")).changed == 0


def test_devices_of_a_key_service_go_with_their_user(world: World) -> None:
    """One that has joined, and one that still could; with a tag, from 0.28 on nobody owns its node."""
    world.server.own_tags(("tag:device",))
    user = world.client.ensure_user(USER)
    soon = datetime.now(UTC) + timedelta(hours=1)
    joined, unused = (
        world.client.create_pre_auth_key(user, expiration=soon, tags=["tag:device"]).key.get_secret_value()
        for _ in range(2)
    )
    world.secrets.update((joined, unused))
    world.server.join(joined, "tablet", ())
    arguments = {
        "url": world.server.url,
        "api_key": "{{ meshgate_headscale_api_key }}",
        "name": USER,
        "state": "absent",
        "with_nodes": True,
    }
    python = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    goes = [{"headscale_user": arguments, "delegate_to": "localhost", "vars": python}]
    assert world.play(goes, "--check", "--diff").changed == 1
    assert [node.given_name for node in world.client.nodes()] == ["tablet"]
    assert world.play(goes).changed == 1
    assert (world.client.nodes(), world.everything()) == ([], None)
    with pytest.raises(PermissionError):
        world.server.join(unused, "late", ())
    assert world.play(goes).changed == 0


def test_key_that_cannot_be_used_any_more_gives_way_to_another(world: World) -> None:
    """A stack's that expired, say, or one that was used up by a run that was killed before it had joined."""
    user = world.client.ensure_user(USER)
    spent = world.client.create_pre_auth_key(user, expiration=datetime.now(UTC) - timedelta(minutes=1))
    extra = world.directory / "given.json"
    extra.write_text(json.dumps({"meshgate_pre_auth_key": "spent", "meshgate_pre_auth_key_id": spent.id}))
    file = world.directory / "pre-auth-key"
    world.play([*_role("pre_auth_key"), *_kept_in(file)], f"--extra-vars=@{extra}")
    world.secrets.add(file.read_text())
    assert file.read_text() != "spent"
    assert sum(key.usable for key in world.client.pre_auth_keys(user)) == 1


def test_user_of_a_stack_is_left_to_it(world: World) -> None:
    user = world.client.ensure_user(USER)
    assert world.play(_role("remove"), "--extra-vars=meshgate_pre_auth_key_id=77").changed == 0
    assert world.client.user(USER) == user


def test_user_of_somebody_else_is_left_where_the_server_tells_whose_it_is(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.api_key}"}
    httpx.post(f"{world.server.url}/api/v1/user", json={"name": USER}, headers=headers).raise_for_status()
    told = world.client.user(USER).made_by_us is not None
    assert world.play(_role("remove")).changed == (0 if told else 1)
    assert (world.everything() is None) == (not told)


def test_gateway_that_does_not_join(world: World) -> None:
    world.client.ensure_user(USER)
    assert world.play(_role("approve"), registration_deadline=1).refusals == {
        f"Task failed: Module failed: Gateway {HOSTNAME} is no exit node of {world.server.url} after 1 s: user {USER} "
        "has no node of that name, so tailscaled did not reach Headscale."
    }


def test_server_that_is_down(world: World) -> None:
    down = {"url": "http://127.0.0.1:1"}
    for part in ("pre_auth_key", "approve", "remove"):
        (said,) = world.play(_role(part), headscale=down, registration_deadline=1).refusals
        assert "Headscale at http://127.0.0.1:1 cannot be reached: [Errno 111] Connection refused; check" in said


def test_wrong_api_key(world: World) -> None:
    for part in ("pre_auth_key", "approve", "remove"):
        (said,) = world.play(_role(part), api_key=WRONG_KEY).refusals
        assert f"Headscale at {world.server.url} does not accept the API key" in said
        assert (
            "`headscale apikeys create` on the server makes another, which goes into `meshgate_headscale_api_key`"
            in said
        )


def test_refusal_of_a_task_that_shows_nothing_is_told(world: World) -> None:
    said = " ".join(world.play(_role("pre_auth_key"), tags=["gateway"]).refusals)
    assert f"Headscale at {world.server.url} says: " in said
    assert "tag" in said


def test_neither_api_key_nor_pre_auth_key(world: World) -> None:
    play = [{"hosts": "all", "gather_facts": False, "vars": {"meshgate_settings": {}}, "tasks": _role("pre_auth_key")}]
    file = world.directory / "play.yml"
    file.write_text(yaml.safe_dump(play))
    (said,) = world.run(file, "-i", f"{GATEWAY},").refusals
    assert "The machine has not joined the mesh yet, and there is nothing to join with: give the API key" in said


def test_headscale_shows_why_it_has_no_wireguard_key(world: World) -> None:
    user = world.client.ensure_user(USER)
    key = world.client.create_pre_auth_key(user, expiration=datetime.now(UTC) + timedelta(hours=1))
    world.server.join(key.key.get_secret_value(), "phone", ())
    (node,) = world.client.nodes()
    inventory = world.directory / "inventory.yml"
    right = "cigt3ZXzC+ZPFUXKMyGTpcCcXGnSUv/3K1ZNH4FyvGY="
    inventory.write_text(json.dumps({"meshgate": {"hosts": {GATEWAY: {"meshgate_public_key": right}}}}))
    playbook = paths.REPOSITORY / "playbooks" / "verify-headscale.yml"
    done = world.run(playbook, "-i", str(inventory), HEADSCALE_URL=world.server.url)
    assert done.changed == 0
    lines = [line.strip() for line in done.text.splitlines()]
    for line in (
        f"Headscale at {world.server.url} has no WireGuard key of its own.",
        world.client.noise_key(),
        "Its own description of its API does not have the word WireGuard in it. What is called a key there:",
        "apiKey, discoKey, key, machineKey, nodeKey, preAuthKey",
        f"phone  {node_key_to_wireguard(node.node_key)}  {node.node_key[:16]}…",
        f"{GATEWAY}  {right}",
    ):
        assert line in lines, done.text
    done = world.run(playbook, HEADSCALE_URL=world.server.url)
    assert done.changed == 0
    assert "`pulumi stack output server_public_key`" in done.text
