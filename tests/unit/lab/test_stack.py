import json
from pathlib import Path

import pytest
import yaml

from infra import settings
from lab import paths, plugin, stack

FACTS = stack.Facts(
    ca_certificate="-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
    gateway_image="meshgate/gateway:abc",
    tailscale_image="tailscale/tailscale:v9",
    headscale_image="headscale/headscale:9",
)


def committed() -> dict[str, dict[str, object]]:
    loaded: dict[str, dict[str, object]] = yaml.safe_load((paths.REPOSITORY / "Pulumi.lab.yaml").read_text())
    return loaded


def test_the_machines_facts_join_the_committed_settings() -> None:
    merged = stack.merge(committed(), FACTS, previous={})["config"]
    for gateway in merged["meshgate:gateways"]:
        assert gateway["image"] == "meshgate/gateway:abc"
        assert gateway["tailscale_image"] == "tailscale/tailscale:v9"
    assert merged["meshgate:headscale"]["ca_certificate"] == FACTS.ca_certificate
    assert merged["meshgate:headscale"]["url"] == "https://10.213.0.1"


def test_what_pulumi_wrote_is_kept_and_old_facts_are_not() -> None:
    previous = {"encryptionsalt": "v1:salt", "config": {"meshgate:gateways": []}, "leftover": 1}
    merged = stack.merge(committed(), FACTS, previous)
    assert merged["encryptionsalt"] == "v1:salt"
    assert merged["config"]["meshgate:gateways"]
    assert "leftover" not in merged


def test_the_merged_settings_pass_the_programs_own_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    merged = stack.merge(committed(), FACTS, previous={})["config"]
    values = {key.removeprefix("meshgate:"): value for key, value in merged.items()}
    # The certificate of this test is none, so only that one is left out.
    del values["headscale"]["ca_certificate"]
    loaded = settings.load(values.get, values)
    assert loaded.gateways[0].image == "meshgate/gateway:abc"


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
    environment = stack.Stack(tmp_path).environment()
    assert environment["PATH"].startswith(f"{tmp_path}:")
    assert environment["PULUMI_HOME"] == str(paths.PULUMI_HOME)
    assert environment["PULUMI_BACKEND_URL"] == f"file://{paths.PULUMI_STATE}"
    assert environment["KUBECONFIG"] == str(paths.KUBECONFIG)
    command = stack.Stack(tmp_path).command("preview", "--diff")
    assert f"--config-file={paths.PULUMI_STACK_CONFIG}" in command
    assert not any("passphrase" in word for word in command)


def test_a_stand_in_becomes_this_clones_and_an_official_plugin_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "PULUMI_HOME", tmp_path)
    program = tmp_path / "plugins" / f"resource-kubernetes-v{plugin.VERSION}" / plugin.NAME
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nPYTHONPATH=/other/clone exec python -m lab.kubernetes_plugin\n")
    plugin.ensure(Path("/nonexistent/pulumi"), {})
    assert str(paths.REPOSITORY) in program.read_text()
    assert program.stat().st_mode & 0o111
    assert plugin.is_stand_in()
    program.write_bytes(b"\x7fELF the official one")
    plugin.ensure(Path("/nonexistent/pulumi"), {})
    assert program.read_bytes() == b"\x7fELF the official one"
    assert not plugin.is_stand_in()
