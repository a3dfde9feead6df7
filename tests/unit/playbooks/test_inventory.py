"""The inventory plugin before a `pulumi` that is told what to print; the real one is test_metal_stack.py's."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader

from infra.resources.connections import API_KEY, API_KEY_SECRET, Connections
from infra.settings.gateway import GatewaySettings
from playbooks.inventory_plugins import meshgate_stack
from playbooks.pulumi_stack import Stack, StackError
from tests.unit.resources.fake_cluster import FakeCluster

EXAMPLES = Path(__file__).parents[3] / "examples" / "metal"
HANDOVER: dict[str, Any] = {
    "host": "192.0.2.7",
    "gateway": {"name": "edge", "endpoint": "edge.example.com:51820", "target": "metal"},
    "headscale": {"url": "https://headscale.example.com", "user": "meshgate-prod"},
    "private_key": "the private key",
    "public_key": "the public key",
    "tokens": "register the token",
    "pre_auth_key": "the pre-auth key",
    "pre_auth_key_id": "7",
}
EXISTING = {
    "meshgate:headscale": {"value": '{"managed":false,"url":"https://headscale.example.com"}', "objectValue": {}},
    "meshgate:gateways": {"value": json.dumps([HANDOVER["gateway"]]), "objectValue": []},
    "meshgate:headscale_api_key": {"value": "the api key", "secret": True},
}
MANAGED = {
    "meshgate:headscale": {"value": '{"managed":true,"url":"https://headscale.example.com"}'},
    "meshgate:gateways": EXISTING["meshgate:gateways"],
}
SECRETS = ("the private key", "the token", "the pre-auth key", "the api key")


class Pulumi:
    """Prints `answers`, by the first words of the command; a text is a failure's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "Pulumi.yaml").write_text("name: meshgate\nruntime: python\n")
        self.answers: dict[str, object] = {
            "stack ls": [{"name": "prod", "updateInProgress": False}, {"name": "dev", "updateInProgress": False}],
            "whoami": {"user": "somebody", "url": f"file://{directory}"},
            "stack output metal": {"edge": HANDOVER},
            "config": EXISTING,
        }
        self.commands: list[str] = []

    def __call__(self, arguments: Sequence[str], directory: Path) -> "subprocess.CompletedProcess[str]":
        assert directory == self.directory
        command = " ".join(arguments)
        self.commands.append(command)
        answer = next(answer for words, answer in self.answers.items() if command.startswith(words))
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            return subprocess.CompletedProcess(arguments, 255, "the token", answer)
        return subprocess.CompletedProcess(arguments, 0, json.dumps(answer), "")

    def stack(self, name: str = "prod") -> Stack:
        return Stack(name, self.directory, self)


@pytest.fixture
def pulumi(tmp_path: Path) -> Pulumi:
    return Pulumi(tmp_path)


def test_gateways_and_key_of_an_existing_server(pulumi: Pulumi) -> None:
    stack = pulumi.stack()
    assert stack.gateways() == {"edge": HANDOVER}
    assert stack.connections().api_key() == "the api key"
    assert len(pulumi.commands) == 4
    assert "stack output metal --json --show-secrets --stack prod" in pulumi.commands


@pytest.mark.parametrize(
    ("command", "answer", "sentence"),
    [
        ("stack ls", [], "Project meshgate has no stack prod: it has none yet; set `stack` to one that is there"),
        (
            "stack ls",
            [{"name": "staging"}, {"name": "dev"}],
            "Project meshgate has no stack prod: there are dev, staging; set `stack` to one that is there",
        ),
        (
            "stack ls",
            "error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions",
            "`pulumi stack ls` failed: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions",
        ),
        ("stack ls", [{"name": "acme/prod", "updateInProgress": True}], "Stack prod is locked: it is being updated"),
        ("stack output metal", {}, "Stack prod has no gateway on bare metal; set `target: metal` for one of"),
        (
            "stack output metal",
            "error: current stack does not have output property 'metal'",
            "Stack prod has no gateway on bare metal; set `target: metal` for one of",
        ),
        (
            "stack output metal",
            "error: get stack secrets manager: incorrect passphrase",
            "The stack's passphrase is wrong; set PULUMI_CONFIG_PASSPHRASE or",
        ),
        (
            "stack output metal",
            "error: passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE",
            "The stack's passphrase is missing; set PULUMI_CONFIG_PASSPHRASE or",
        ),
        ("whoami", FileNotFoundError(), "The command pulumi is not on PATH; install it"),
        ("whoami", subprocess.TimeoutExpired("pulumi", 1), "`pulumi whoami` did not end within 120 s; see whether"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(pulumi: Pulumi, command: str, answer: object, sentence: str) -> None:
    pulumi.answers[command] = answer
    with pytest.raises(StackError) as raised:
        pulumi.stack().gateways()
    assert str(raised.value).startswith(sentence)
    assert not any(secret in str(raised.value) for secret in SECRETS)


def test_what_is_no_json_is_not_shown(pulumi: Pulumi) -> None:
    def shell(arguments: Sequence[str], directory: Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess(arguments, 0, "the token", "")

    with pytest.raises(StackError, match=r"^`pulumi stack ls` printed no JSON; see that the pulumi on PATH is"):
        Stack("prod", pulumi.directory, shell).gateways()


def test_a_directory_without_a_project(pulumi: Pulumi) -> None:
    for content in ("", "name", "[1"):
        (pulumi.directory / "Pulumi.yaml").write_text(content)
        with pytest.raises(StackError, match=r"has no Pulumi.yaml with a project's name in it; set `project_dir` to"):
            pulumi.stack().gateways()


def test_a_config_that_is_elsewhere(pulumi: Pulumi) -> None:
    pulumi.answers["config"] = {"meshgate:namespace": {"value": "meshgate"}}
    with pytest.raises(StackError, match=r"has no config of stack prod \(Pulumi.prod.yaml\); set `project_dir` to"):
        pulumi.stack().connections()


@pytest.mark.parametrize("backend", ["file://{directory}/state", "file://state"])
@pytest.mark.parametrize("stack", ["prod", "organization/meshgate/prod"])
def test_a_lock_in_a_file_backend(pulumi: Pulumi, backend: str, stack: str) -> None:
    pulumi.answers["whoami"] = {"url": backend.format(directory=pulumi.directory)}
    locks = pulumi.directory / "state" / ".pulumi" / "locks" / "organization" / "meshgate"
    (locks / "dev").mkdir(parents=True)
    (locks / "prod").mkdir()
    (locks / "dev" / "1.json").touch()
    assert pulumi.stack(stack).gateways()
    (locks / "prod" / "1.json").touch()
    with pytest.raises(StackError, match=f"^Stack {stack} is locked: .* or `pulumi cancel --stack {stack}` first if"):
        pulumi.stack(stack).gateways()


ENDED = "2026-11-28T01:43:10.000Z"


@pytest.mark.parametrize(
    ("written", "runs", "settled"),
    [
        ("2026-11-28T01:43:09.700Z", [{"endTime": ENDED, "result": "succeeded"}], True),
        ("2026-11-28T01:43:12.000Z", [{"endTime": ENDED, "result": "failed"}], True),
        ("2026-11-28T01:43:20.000Z", [{"endTime": ENDED, "result": "succeeded"}], False),
        ("2026-11-28T01:43:20.000Z", [{"result": "in-progress"}], False),
        ("2026-11-28T01:43:20.000Z", [], True),  # moved here, by `pulumi stack import`
        ("", [], True),
    ],
)
def test_a_run_that_has_not_ended_in_a_bucket(
    pulumi: Pulumi, written: str, runs: list[dict[str, str]], settled: bool
) -> None:
    """Whose locks no command tells of: the state is newer than the last run's end."""
    pulumi.answers["stack ls"] = [{"name": "prod", **({"lastUpdate": written} if written else {})}]
    pulumi.answers["stack history"] = runs
    pulumi.answers["whoami"] = {"url": "s3://bucket?region=eu-central-1"}
    if settled:
        assert pulumi.stack().gateways()
    else:
        with pytest.raises(
            StackError, match=r"^Stack prod is half changed: .*, or `pulumi up` first if it was killed$"
        ):
            pulumi.stack().gateways()


def test_the_examples_are_what_the_play_and_the_plugin_ask_for() -> None:
    plain = yaml.safe_load((EXAMPLES / "inventory.example.yml").read_text())["meshgate"]
    for name, host in plain["hosts"].items():
        gateway = GatewaySettings.model_validate(host["meshgate_gateway"] | {"target": "metal"})
        assert gateway.name == name
    given = set(plain["vars"]) | set(plain["hosts"]["edge"])
    assert given < set(meshgate_stack.variables(HANDOVER, "the api key"))
    source = yaml.safe_load((EXAMPLES / "meshgate_stack.yml").read_text())
    assert set(source) <= set(yaml.safe_load(meshgate_stack.DOCUMENTATION)["options"])


# Ansible's side


@pytest.fixture
def plugin() -> Any:  # noqa: ANN401 (Ansible has no types)
    """As Ansible loads it."""
    inventory_loader.add_directory(str(Path(meshgate_stack.__file__).parent))
    return inventory_loader.get("meshgate_stack")


@pytest.fixture
def source(pulumi: Pulumi, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a stack that a program called `pulumi` on PATH knows of."""
    programs = pulumi.directory / "bin"
    programs.mkdir()
    program = programs / "pulumi"
    program.write_text(
        f"""#!{sys.executable}
import json, os, sys
assert sys.argv[-2:] == ["--non-interactive", "--color=never"] and os.environ["PULUMI_BACKEND_URL"] == "file://here"
answers = json.load(open("answers.json"))
answer = next(answer for words, answer in answers.items() if " ".join(sys.argv[1:]).startswith(words))
print(json.dumps(answer))
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file://here")
    source = pulumi.directory / "prod.meshgate_stack.yml"
    source.write_text("plugin: meshgate_stack\nstack: prod\nproject_dir: .\n")
    return source


def hosts(plugin: Any, pulumi: Pulumi, source: Path) -> dict[str, dict[str, Any]]:  # noqa: ANN401 (as above)
    (pulumi.directory / "answers.json").write_text(json.dumps(pulumi.answers))
    inventory = InventoryData()
    plugin.parse(inventory, DataLoader(), str(source))
    assert [host.name for host in inventory.groups["meshgate"].get_hosts()] == list(inventory.hosts)
    own = {"inventory_file", "inventory_dir", "inventory_hostname", "inventory_hostname_short", "group_names"}
    return {
        name: {key: value for key, value in host.get_vars().items() if key not in own}
        for name, host in inventory.hosts.items()
    }


def test_each_gateway_is_a_host_with_what_the_play_asks_for(plugin: Any, pulumi: Pulumi, source: Path) -> None:  # noqa: ANN401
    pulumi.answers["stack output metal"] = {"edge": HANDOVER, "far": HANDOVER | {"host": "192.0.2.8"}}
    found = hosts(plugin, pulumi, source)
    assert found["far"]["ansible_host"] == "192.0.2.8"
    assert found["edge"] == {
        "ansible_host": "192.0.2.7",
        "meshgate_gateway": HANDOVER["gateway"],
        "meshgate_headscale": HANDOVER["headscale"],
        "meshgate_headscale_api_key": "the api key",
        "meshgate_private_key": "the private key",
        "meshgate_public_key": "the public key",
        "meshgate_tokens": "register the token",
        "meshgate_pre_auth_key": "the pre-auth key",
        "meshgate_pre_auth_key_id": "7",
    }


def test_a_plain_gateway_is_given_nothing_of_a_mesh(plugin: Any, pulumi: Pulumi, source: Path) -> None:  # noqa: ANN401
    of_the_mesh = {"headscale", "pre_auth_key", "pre_auth_key_id"}
    plain = {name: value for name, value in HANDOVER.items() if name not in of_the_mesh}
    pulumi.answers["stack output metal"] = {"edge": plain}
    for config in (EXISTING, {"meshgate:gateways": EXISTING["meshgate:gateways"]}):
        pulumi.answers["config"] = config
        assert hosts(plugin, pulumi, source)["edge"].keys() == {
            "ansible_host",
            *("meshgate_gateway", "meshgate_private_key", "meshgate_public_key", "meshgate_tokens"),
        }


def test_a_gateway_whose_key_is_rotated_is_given_both(plugin: Any, pulumi: Pulumi, source: Path) -> None:  # noqa: ANN401
    rotated = HANDOVER | {"previous_private_key": "the key before", "previous_public_key": "the public key before"}
    pulumi.answers["stack output metal"] = {"edge": rotated}
    found = hosts(plugin, pulumi, source)["edge"]
    assert (found["meshgate_private_key"], found["meshgate_previous_private_key"]) == (
        "the private key",
        "the key before",
    )


def test_a_gateway_without_wireguard_is_given_no_key_pair(plugin: Any, pulumi: Pulumi, source: Path) -> None:  # noqa: ANN401
    handed = {name: value for name, value in HANDOVER.items() if name not in {"private_key", "public_key"}}
    issuing = {"issuing_certificate": "a chain", "issuing_key": "a key"}
    pulumi.answers["stack output metal"] = {"edge": handed | issuing}
    found = hosts(plugin, pulumi, source)["edge"]
    assert (found["meshgate_issuing_certificate"], found["meshgate_issuing_key"]) == ("a chain", "a key")
    assert not {"meshgate_private_key", "meshgate_public_key"} & found.keys()


def test_the_key_of_a_managed_server_is_in_the_cluster(
    plugin: Any,  # noqa: ANN401
    pulumi: Pulumi,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = FakeCluster()
    cluster.apply_secret("headscale", API_KEY_SECRET, {API_KEY: "the cluster's"})
    monkeypatch.setattr(Connections, "cluster", cluster)
    pulumi.answers["config"] = MANAGED
    assert hosts(plugin, pulumi, source)["edge"]["meshgate_headscale_api_key"] == "the cluster's"


def test_without_the_cluster_there_is_no_key_and_a_word_of_why(
    plugin: Any,  # noqa: ANN401
    pulumi: Pulumi,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(pulumi.directory / "kubeconfig"))
    pulumi.answers["config"] = MANAGED
    assert "meshgate_headscale_api_key" not in hosts(plugin, pulumi, source)["edge"]
    said = " ".join(capsys.readouterr().err.split())
    assert "Without Headscale's API key the play leaves the node to `pulumi up`. There is no cluster: " in said


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            "plugin: meshgate_stack\nstack: staging\nproject_dir: .\n",
            "Project meshgate has no stack staging: there are",
        ),
        ("plugin: meshgate_stack\n", "Required config 'stack'"),
    ],
)
def test_what_is_wrong_ends_the_run_with_one_sentence(
    plugin: Any,  # noqa: ANN401
    pulumi: Pulumi,
    source: Path,
    config: str,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source.write_text(config)
    with pytest.raises(SystemExit) as ended:
        hosts(plugin, pulumi, source)
    assert ended.value.code == 4
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("[ERROR]: ")
    assert sentence in said


def test_sources_are_known_by_their_names(plugin: Any, tmp_path: Path) -> None:  # noqa: ANN401
    for name, ours in (("meshgate_stack.yml", True), ("prod.meshgate_stack.yaml", True), ("hosts.yml", False)):
        (tmp_path / name).touch()
        assert plugin.verify_file(str(tmp_path / name)) is ours
    assert not plugin.verify_file(str(tmp_path / "absent.meshgate_stack.yml"))
