"""What a stack file says about the pipeline; what cannot be read is one sentence."""

from pathlib import Path

import pytest

from console import project
from console.errors import StepError
from pipeline.stack import BY_PASSPHRASE, BY_SERVICE, Stack, read

MACHINE = '{name: edge, target: metal, endpoint: "vpn.example.com:51820", client_networks: [10.78.0.0/16]}'


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(project, "REPOSITORY", tmp_path)
    return tmp_path


def stack(text: str) -> Stack:
    project.stack_file("prod").write_text(text)
    return read("prod")


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("encryptionsalt: v1:x", BY_PASSPHRASE),
        ("secretsprovider: passphrase\nencryptionsalt: v1:x", BY_PASSPHRASE),
        ("secretsprovider: awskms://alias/a?region=b\nencryptedkey: x", "awskms://alias/a?region=b"),
        ("secretsprovider: default", BY_SERVICE),
        ("config: {}", BY_SERVICE),
    ],
)
def test_the_secrets_provider_is_what_pulumi_wrote(text: str, provider: str) -> None:
    assert stack(text).provider == provider


@pytest.mark.parametrize(
    ("settings", "in_cluster"),
    [
        (f"meshgate:gateways: [{MACHINE}]", False),
        (f"meshgate:gateways: [{MACHINE.replace('metal', 'kubernetes').replace('51820', '31820')}]", True),
        (f"meshgate:gateways: [{MACHINE}]\n  meshgate:headscale: {{managed: true, url: 'https://h.example'}}", True),
        (
            f"meshgate:gateways: [{MACHINE}]\n  meshgate:headscale: {{managed: false, url: 'https://h.example'}}\n"
            "  meshgate:headscale_api_key: {secure: v1:x}",
            False,
        ),
        ("meshgate:nonsense: 1", True),
    ],
)
def test_a_cluster_is_needed_unless_there_are_machines_alone(settings: str, in_cluster: bool) -> None:
    assert stack(f"config:\n  {settings}\n").in_cluster is in_cluster


def test_context_and_namespace_are_the_settings() -> None:
    text = (
        f"config:\n  meshgate:gateways: [{MACHINE}]\n  meshgate:namespace: vpn\n  meshgate:cluster: {{context: eu}}\n"
    )
    assert (stack(text).context, stack(text).namespace) == ("eu", "vpn")


@pytest.mark.parametrize("text", ["config: [", "\x00"])
def test_what_is_no_yaml_is_told(text: str) -> None:
    with pytest.raises(StepError, match=r"^Pulumi\.prod\.yaml cannot be read as YAML: "):
        stack(text)


def test_what_is_missing_or_empty_is_told() -> None:
    with pytest.raises(StepError, match=r"^There is no Pulumi\.prod\.yaml: commit"):
        read("prod")
    with pytest.raises(StepError, match=r"^Pulumi\.prod\.yaml holds no settings"):
        stack("")
