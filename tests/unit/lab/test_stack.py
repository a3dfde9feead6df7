import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from console.errors import StepError
from infra.settings.loading import load
from lab import paths
from lab.kubernetes_plugin.provider_settings import LAB_PLUGIN
from lab.network.addresses import KINDS
from lab.pulumi import lab_settings, stack
from lab.pulumi.stack import Stack
from tests.certificates import CA

FACTS = lab_settings.Facts(
    ca_certificate=CA,
    gateway_image="meshgate/gateway:abc",
    tailscale_image="tailscale/tailscale:v9",
    headscale_image="headscale/headscale:9",
)


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a `pulumi` that writes down its arguments and its input; it answers as `answer` does."""
    for name in ("PULUMI", "PULUMI_HOME", "PULUMI_STATE", "LOGS"):
        monkeypatch.setattr(paths, name, tmp_path / name)
        (tmp_path / name).mkdir()
    monkeypatch.setattr(stack, "PASSPHRASE_FILE", tmp_path / "passphrase")
    program = tmp_path / "pulumi"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/input\n. {tmp_path}/answer\n')
    program.chmod(0o755)
    (tmp_path / "answer").write_text("true")
    return tmp_path


@pytest.fixture(autouse=True)
def dual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the lab of this machine is."""
    monkeypatch.setattr(lab_settings, "CLUSTER", KINDS["dual"])


def test_the_settings_for_a_cluster_of_ipv6_alone_name_nothing_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_settings, "CLUSTER", KINDS["ipv6"])
    complete = lab_settings.complete(FACTS)
    assert complete["headscale"]["url"] == "https://[fd10:213::1]"
    assert complete["gateways"][0]["endpoint"] == "[fd10:213::1]:31820"
    assert all(":" in network for networks in complete["cluster"].values() for network in networks)


def test_the_machines_facts_join_the_committed_settings() -> None:
    complete = lab_settings.complete(FACTS)
    for gateway in complete["gateways"]:
        assert gateway["image"] == "meshgate/gateway:abc"
        assert gateway["tailscale_image"] == "tailscale/tailscale:v9"
    assert complete["headscale"]["ca_certificate"] == FACTS.ca_certificate
    assert complete["headscale"]["url"] == "https://10.213.0.1"


def test_the_complete_settings_pass_the_programs_own_checks() -> None:
    complete: dict[str, Any] = lab_settings.complete(FACTS)
    # The certificate of this test is none, so only that one is left out.
    del complete["headscale"]["ca_certificate"]
    loaded = load(complete.get, complete)
    assert loaded.gateways[0].image == "meshgate/gateway:abc"


def test_the_config_file_has_the_settings_and_what_pulumi_wrote_and_nothing_older(pulumi: Path) -> None:
    one = Stack(pulumi, "other")
    old = {"encryptionsalt": "v1:salt", "config": {"meshgate:orchestrator": {}}, "leftover": 1}
    one.config_file.write_text(yaml.safe_dump(old))
    one.write({"headscale": {"managed": False}})
    assert yaml.safe_load(one.config_file.read_text()) == {
        "config": {"meshgate:headscale": {"managed": False}},
        "encryptionsalt": "v1:salt",
    }
    assert one.settings() == {"headscale": {"managed": False}}


def test_stacks_keep_out_of_each_others_way(pulumi: Path) -> None:
    one, other = Stack(pulumi), Stack(pulumi, "other")
    assert one.config_file != other.config_file
    assert one.log != other.log
    assert one.state_file != other.state_file
    assert "--stack=other" in other.command("up")
    assert f"--config-file={other.config_file}" in other.command("up")


def test_a_secret_setting_is_in_no_command_line(pulumi: Path) -> None:
    Stack(pulumi, "other").set_secret("headscale_api_key", "hskey-api-secret")
    assert (pulumi / "input").read_text() == "hskey-api-secret"
    arguments = (pulumi / "arguments").read_text()
    assert arguments.startswith("config set --secret --path meshgate:headscale_api_key --stack=other ")
    assert "hskey" not in arguments


def test_a_run_tells_which_resource_it_is_at(pulumi: Path) -> None:
    (pulumi / "answer").write_text(
        """cat <<END
Updating (lab):
@ updating....
    pulumi:pulumi:Stack meshgate-lab running
 +  kubernetes:apps/v1:Deployment gateway creating (0s) Waiting for app ReplicaSet
 ++ pulumi-python:dynamic/infra.resources.exit_node:ExitNode exit-node creating replacement (2s)
 +  kubernetes:apps/v1:Deployment gateway created (5s)
END
sleep 1
"""
    )
    told: list[str] = []
    Stack(pulumi).up(told.append)
    assert told == ["Deployment gateway creating", "ExitNode exit-node creating"]


def test_a_failed_run_says_why(pulumi: Path) -> None:
    printed = "Updating:\n\nDiagnostics:\n  thing:\n    error: why\n\nResources:\n    1 errored"
    (pulumi / "answer").write_text(f"echo '{printed}'; exit 255")
    with pytest.raises(StepError, match=r"run `pulumi preview` of the stack lab.*\n  thing:\n    error: why"):
        Stack(pulumi).run("preview")


def test_only_the_lock_of_this_very_stack_is_released(pulumi: Path) -> None:
    lock = paths.PULUMI_STATE / ".pulumi" / "locks" / "organization" / "meshgate" / "lab" / "id.json"
    lock.parent.mkdir(parents=True)
    lock.touch()
    Stack(pulumi, "other").recover()
    assert not (pulumi / "arguments").exists()
    Stack(pulumi).recover()
    assert (pulumi / "arguments").read_text().startswith("cancel --yes --stack=lab ")


def test_pending_operations_are_read_from_the_file_backends_state(tmp_path: Path) -> None:
    state = tmp_path / "lab.json"
    assert stack.pending_operations(state) == []
    for latest, expected in (
        (None, []),
        ({"resources": []}, []),
        ({"pending_operations": [{"type": "creating"}]}, [{"type": "creating"}]),
    ):
        state.write_text(json.dumps({"version": 3, "checkpoint": {"stack": "lab", "latest": latest}}))
        assert stack.pending_operations(state) == expected


def test_of_a_failed_run_the_diagnostics_are_shown() -> None:
    printed = (
        "Updating (lab):\n +  thing creating\n\nDiagnostics:\n  thing:\n    error: why\n\nResources:\n    1 errored\n"
    )
    assert stack.diagnostics(printed) == "  thing:\n    error: why"
    assert stack.diagnostics("error: no stack named 'lab' found\n") == ""


def test_pulumi_runs_apart_from_the_users_own(tmp_path: Path) -> None:
    environment = Stack(tmp_path).environment()
    assert environment["PATH"].startswith(f"{tmp_path}:")
    assert environment["PULUMI_HOME"] == str(paths.PULUMI_HOME)
    assert environment["PULUMI_BACKEND_URL"] == f"file://{paths.PULUMI_STATE}"
    assert environment["KUBECONFIG"] == str(paths.KUBECONFIG)
    command = Stack(tmp_path).command("preview", "--diff")
    assert not any("passphrase" in word for word in command)


def test_how_the_plugins_stand_in_answers_is_told_to_it(pulumi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Stack(pulumi).environment()[LAB_PLUGIN]
    monkeypatch.setenv(LAB_PLUGIN, "prompt")
    assert Stack(pulumi).environment()[LAB_PLUGIN] == "prompt"
