"""The Ansible modules that talk to Headscale, on both ends of the versions that we serve."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import ModuleType
from typing import Any

import httpx
import pytest

from gateway.headscale import EXIT_ROUTES, polling
from gateway.headscale.client import Headscale
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.playbooks.modules import Outcome, documented_options, run

# After `modules`, which lets them find what they share.
from playbooks.library import (  # isort: skip
    gateway_settings,
    headscale_keys,
    headscale_node,
    headscale_preauth_key,
    headscale_user,
    keys_settings,
)
from ansible.module_utils import meshgate  # isort: skip

URL = "https://headscale.test"
USER = "meshgate"
OF_SETTINGS = [gateway_settings, keys_settings]
MODULES = [*OF_SETTINGS, headscale_keys, headscale_node, headscale_preauth_key, headscale_user]

Run = Callable[..., Outcome]


@pytest.fixture(params=["0.29", "0.23"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeHeadscale:
    server = FakeHeadscale(request.param)
    monkeypatch.setattr("gateway.headscale.client.Headscale", partial(Headscale, transport=server))
    monkeypatch.setattr("gateway.headscale.session.FIRST_WAIT", 0.001)
    monkeypatch.setattr(polling, "INTERVAL", 0.01)
    return server


@pytest.fixture
def api_key(server: FakeHeadscale) -> str:
    return server.new_api_key(datetime.now(UTC) + timedelta(hours=1))


class Module:
    """One of the modules on the test's server."""

    def __init__(self, module: ModuleType, api_key: str, **arguments: object) -> None:
        self._module = module
        self._arguments = {"url": URL, "api_key": api_key, **arguments}

    def __call__(self, *, check: bool = False, **arguments: object) -> Outcome:
        return run(self._module, {**self._arguments, **arguments}, check=check)


@pytest.fixture
def user(api_key: str) -> Module:
    return Module(headscale_user, api_key, name=USER)


@pytest.fixture
def key(api_key: str, user: Module) -> Module:
    user()
    return Module(headscale_preauth_key, api_key, user=USER, owner="edge")


@pytest.fixture
def node(api_key: str) -> Module:
    return Module(headscale_node, api_key, user=USER, hostname="meshgate-edge", deadline_seconds=0)


def _changed(outcome: Outcome) -> bool:
    assert "failed" not in outcome, outcome["msg"]
    return bool(outcome["changed"])


def _refused(outcome: Outcome) -> str:
    assert outcome["failed"]
    return str(outcome["msg"])


# Users


def test_user_is_made_once(user: Module, server: FakeHeadscale) -> None:
    assert _changed(user(check=True))
    assert not server.users
    made = user()
    assert _changed(made)
    assert made["user"] == {"id": str(server.users[USER]), "name": USER}
    assert made["diff"] == {"before": {}, "after": {"name": USER}}
    again = user()
    assert not _changed(again)
    assert again["user"] == made["user"]


def test_user_is_removed_once(user: Module, server: FakeHeadscale) -> None:
    user()
    assert _changed(user(state="absent", check=True))
    assert USER in server.users
    assert _changed(user(state="absent"))
    assert not server.users
    for check in (True, False):
        assert not _changed(user(state="absent", check=check))


def test_user_on_whom_something_hangs_stays(user: Module, key: Module, node: Module, server: FakeHeadscale) -> None:
    made = key(tags=["tag:gateway"])
    assert user(state="absent")["kept_because"] == "one of its pre-auth keys can still be used"
    server.join(made["key"], "meshgate-edge")
    left = user(state="absent")
    assert not _changed(left)
    assert left["kept_because"] in {"it owns nodes", "nodes have joined with its pre-auth keys"}
    assert USER in server.users
    node(state="absent")
    assert _changed(user(state="absent"))


@pytest.mark.parametrize("tags", [[], ["tag:device"]])
def test_user_goes_with_its_nodes_and_no_others(
    user: Module, key: Module, server: FakeHeadscale, tags: list[str]
) -> None:
    made = key(tags=tags)
    server.join(made["key"], "phone")
    unused = key(tags=tags, owner="another device")
    user(name="somebody-else")
    server.join(key(user="somebody-else")["key"], "stays")
    told = user(state="absent", with_nodes=True, check=True)
    assert _changed(told)
    assert len(server.nodes) == 2
    removed_at = len(server.calls)
    assert _changed(user(state="absent", with_nodes=True))
    assert ([node.name for node in server.nodes.values()], list(server.users)) == (["stays"], ["somebody-else"])
    with pytest.raises(PermissionError):
        server.join(unused["key"], "late")
    calls = server.calls[removed_at:]
    ended = calls.index("POST preauthkey/expire")
    assert ended < calls.index("GET node"), "a device could join while the others are looked for"
    for check in (True, False):
        assert not _changed(user(state="absent", with_nodes=True, check=check))


# Pre-auth keys


def test_key_is_told_once_and_kept_while_it_can_be_used(key: Module, server: FakeHeadscale) -> None:
    assert _changed(key(check=True))
    assert not server.keys
    made = key(tags=["tag:gateway"], expiration_hours=24)
    assert _changed(made)
    (kept,) = server.keys.values()
    assert (made["id"], made["key"]) == (str(kept.id), kept.secret)
    assert (kept.tags, kept.reusable, kept.ephemeral) == (["tag:gateway"], False, False)
    assert made["expires_at"] == kept.expiration.isoformat()
    assert abs(kept.expiration - datetime.now(UTC) - timedelta(hours=24)) < timedelta(seconds=30)
    for check in (True, False):
        again = key(id=made["id"], check=check)
        assert not _changed(again)
        assert "key" not in again
    server.join(made["key"], "meshgate-edge")
    assert _changed(key(id=made["id"])), "a spent key lets nobody in"


def test_one_owner_has_one_usable_key(key: Module, server: FakeHeadscale) -> None:
    other = key(owner="another gateway")
    key()
    made = key()
    now = datetime.now(UTC)
    assert [str(one.id) for one in server.keys.values() if one.expiration > now] == [other["id"], made["id"]]


def test_key_of_nobody(key: Module) -> None:
    assert _refused(key(user="nobody")) == f"Headscale at {URL} has no user 'nobody'."


def test_keys_of_an_owner_are_removed(key: Module, node: Module, server: FakeHeadscale) -> None:
    other = key(owner="another gateway")
    spent = key()
    server.join(spent["key"], "meshgate-edge")
    unused = key()
    for check in (True, False):
        assert _changed(key(state="absent", check=check))
    now = datetime.now(UTC)
    assert [str(one.id) for one in server.keys.values() if one.expiration > now] == [other["id"], spent["id"]]
    assert not _changed(key(state="absent")), "by the spent one Headscale knows whose the node is"
    node(state="absent")
    assert _changed(key(state="absent")) is (server.version == "0.29")
    assert not _changed(key(state="absent", id=unused["id"]))
    assert not _changed(key(state="absent", user="nobody"))


# Nodes


def test_node_is_approved_beside_its_other_routes(key: Module, node: Module, server: FakeHeadscale) -> None:
    made = key()
    server.join(made["key"], "meshgate-edge", ("10.9.0.0/24", *EXIT_ROUTES))
    (joined,) = server.nodes.values()
    joined.approved = ["10.9.0.0/24"]
    told = node(check=True, pre_auth_key_id=made["id"])
    assert _changed(told)
    assert told["diff"] == {
        "before": {"routes": ["10.9.0.0/24"], "tags": []},
        "after": {"routes": ["0.0.0.0/0", "10.9.0.0/24", "::/0"], "tags": []},
    }
    assert joined.approved == ["10.9.0.0/24"]
    done = node(pre_auth_key_id=made["id"])
    assert _changed(done)
    assert done["node"] == {
        "id": str(joined.id),
        "name": "meshgate-edge",
        "addresses": [f"100.64.0.{joined.id}", f"fd7a:115c:a1e0::{joined.id:x}"],
        "node_key": f"nodekey:{joined.id:064x}",
        "routes": ["0.0.0.0/0", "10.9.0.0/24", "::/0"],
        "tags": [],
        "online": True,
        "exit_node": True,
    }
    again = node()
    assert not _changed(again)
    assert again["node"] == done["node"]


def test_whether_the_server_knows_a_machine(key: Module, node: Module, server: FakeHeadscale) -> None:
    server.join(key()["key"], "somebody-elses-name")
    (joined,) = server.nodes.values()
    own = f"nodekey:{joined.id:064x}"
    assert node(check=True, node_key=own)["known"] is True
    assert node(check=True, node_key=own, user="another")["known"] is False, "it has to join anew, as that user's"
    server.nodes.clear()
    assert node(check=True, node_key=own)["known"] is False
    assert "known" not in node(check=True)


def test_a_tagged_node_whose_key_is_gone_is_still_known(key: Module, node: Module, server: FakeHeadscale) -> None:
    """Nobody knows then whose it was."""
    server.join(key(tags=["tag:a"])["key"], "meshgate-edge")
    (joined,) = server.nodes.values()
    joined.key = None
    assert node(check=True, node_key=f"nodekey:{joined.id:064x}")["known"] is True


def test_the_node_that_a_machine_was_for_another_user_is_removed_alone(
    user: Module, key: Module, node: Module, server: FakeHeadscale
) -> None:
    user(name="former")
    server.join(key(user="former")["key"], "meshgate-edge")
    server.join(key()["key"], "meshgate-other")
    former, other = server.nodes.values()
    own = f"nodekey:{former.id:064x}"
    assert _changed(node(check=True, state="absent", node_key=own))
    assert len(server.nodes) == 2
    assert _changed(node(state="absent", node_key=own))
    assert list(server.nodes.values()) == [other]
    assert not _changed(node(state="absent", node_key=own))


def test_node_gets_its_tags(key: Module, node: Module, server: FakeHeadscale) -> None:
    server.join(key(tags=["tag:a"])["key"], "meshgate-edge")
    server.own_tags(("tag:a", "tag:b"))
    assert node()["node"]["tags"] == ["tag:a"]
    assert node(check=True, tags=["tag:b", "tag:a"])["diff"]["after"]["tags"] == ["tag:a", "tag:b"]
    assert node(tags=["tag:b", "tag:a"])["node"]["tags"] == ["tag:a", "tag:b"]
    assert not _changed(node(tags=["tag:a", "tag:b"]))
    assert "says: " in _refused(node(tags=["gateway"]))


def test_node_that_is_not_there_yet_is_no_failure_of_a_check(key: Module, node: Module) -> None:
    told = node(check=True)
    assert _changed(told)
    assert told["node"] is None


def test_why_there_is_no_node(key: Module, node: Module, server: FakeHeadscale) -> None:
    begin = f"Gateway meshgate-edge is no exit node of {URL} after 0 s: "
    assert _refused(node(user="nobody")) == begin + "user nobody does not exist."
    assert _refused(node()) == begin + (
        "user meshgate has no node of that name, so tailscaled did not reach Headscale."
    )
    made = key()
    assert _refused(node(pre_auth_key_id=made["id"])) == begin + (
        f"nobody has used its pre-auth key {made['id']} yet, so tailscaled did not reach Headscale."
    )
    server.join(made["key"], "meshgate-edge", ())
    (joined,) = server.nodes.values()
    assert _refused(node()) == begin + (
        f"it registered as node {joined.id} but does not advertise the exit routes (--advertise-exit-node)."
    )
    server.nodes.clear()
    assert _refused(node(pre_auth_key_id=made["id"])) == begin + (
        f"its pre-auth key {made['id']} was used up by a node that is gone; run the play again, which makes a new one."
    )


def test_nodes_of_a_host_name_and_user_are_removed(key: Module, node: Module, server: FakeHeadscale) -> None:
    for hostname in ("meshgate-edge", "meshgate-edge", "phone"):
        server.join(key()["key"], hostname)
    edges = [one.given_name for one in server.nodes.values() if one.name == "meshgate-edge"]
    told = node(state="absent", check=True)
    assert _changed(told)
    assert told["diff"] == {"before": {"nodes": edges}, "after": {}}
    assert len(server.nodes) == 3
    assert _changed(node(state="absent"))
    assert [one.name for one in server.nodes.values()] == ["phone"]
    for check in (True, False):
        assert not _changed(node(state="absent", check=check))


# What the server has


def test_keys_of_the_server(key: Module, api_key: str, server: FakeHeadscale) -> None:
    server.join(key()["key"], "phone")
    (joined,) = server.nodes.values()
    seen = Module(headscale_keys, api_key)()
    assert not _changed(seen)
    assert seen["noise_key"] == f"mkey:{7:064x}"
    assert seen["described_keys"] == ["nodeKey"]
    assert seen["mentions_wireguard"] is False
    (phone,) = seen["nodes"]
    assert phone["name"] == "phone"
    assert phone["node_key"] == f"nodekey:{joined.id:064x}"
    assert phone["wireguard_key"].endswith("=")
    assert [line.strip() for line in seen["report"] if line.startswith("  ")] == [
        seen["noise_key"],
        "nodeKey",
        f"phone  {phone['wireguard_key']}  nodekey:00000000…",
        "`pulumi stack output server_public_key`, or `wg show` on the gateway, tells it.",
    ]
    seen = Module(headscale_keys, api_key)(gateway_keys={"edge": "KEY"})
    assert seen["report"][-1] == "  edge  KEY"
    server.fail = lambda request: httpx.Response(404) if "swagger" in request.url.path else None
    assert Module(headscale_keys, api_key)()["described_keys"] is None


# What all of them share


@pytest.mark.parametrize("module", MODULES)
def test_arguments_are_what_is_documented(module: ModuleType) -> None:
    arguments = {**(meshgate.SERVER if module not in OF_SETTINGS else {}), **getattr(module, "ARGUMENTS", {})}
    assert _rules(arguments, "options") == _rules(documented_options(module), "suboptions")


def _rules(options: dict[str, Any], inner: str) -> dict[str, Any]:
    known = ("type", "required", "default", "choices", "elements")
    return {
        name: {rule: option[rule] for rule in known if rule in option} | _rules(option.get(inner, {}), inner)
        for name, option in options.items()
    }


def test_server_that_is_down(user: Module, server: FakeHeadscale) -> None:
    server.fail = lambda _: httpx.Response(503)
    assert _refused(user()) == f"Headscale at {URL} is not available (503 Service Unavailable)."


def test_wrong_api_key(user: Module) -> None:
    said = _refused(user(api_key="abcdefg." + "x" * 32))
    assert f"Headscale at {URL} does not accept the API key" in said
    assert "`headscale apikeys create` on the server makes another" in said
    assert "xxxx" not in said


def test_url_that_would_show_the_api_key(user: Module) -> None:
    assert _refused(user(url="http://headscale.test")) == (
        "url: 'http://headscale.test' would carry the API key in clear text; use https:// (a private CA goes into "
        "ca_certificate)."
    )


def test_python_without_our_packages(user: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "infra.settings.loading", None)
    said = _refused(user())
    assert said.startswith("Meshgate's packages are not there (import of infra.settings.loading halted")
    assert said.endswith('with ansible_python_interpreter "{{ ansible_playbook_python }}".')
