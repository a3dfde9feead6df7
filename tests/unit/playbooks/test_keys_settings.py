"""The module keys_settings: what a key service on a machine is told, and what is refused."""

from typing import Any

import pytest

from tests.unit.playbooks.modules import run

# After `modules`, which lets it find what it shares.
from playbooks.library import keys_settings  # isort: skip

HEADSCALE = {"url": "https://headscale.example.com"}


def told(**arguments: Any) -> Any:  # noqa: ANN401 (as Ansible has it)
    return run(keys_settings, {"headscale": HEADSCALE, "credentials": "/run/credentials/x", **arguments})


def test_it_listens_for_the_machine_alone_unless_it_is_told_where() -> None:
    alone, at = told(), told(keys_url="http://10.0.0.6:8090", probe_port=8091)
    assert (alone["environment"]["MESHGATE_HTTP_HOST"], alone["probe_url"]) == ("127.0.0.1", "http://127.0.0.1:8083")
    environment = at["environment"]
    assert (environment["MESHGATE_HTTP_HOST"], environment["MESHGATE_HTTP_PORT"]) == ("10.0.0.6", "8090")
    assert at["probe_url"] == "http://10.0.0.6:8091"
    assert told(keys_url="https://keys.example.com")["environment"]["MESHGATE_HTTP_HOST"] == "127.0.0.1"


def test_it_is_told_what_a_pod_is_told() -> None:
    server = HEADSCALE | {"user": "app", "ca_certificate": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"}
    outcome = told(headscale=server, mesh_clients={"tags": ["tag:device"], "key_minutes": 5})
    environment = outcome["environment"]
    assert (outcome["user"], environment["MESHGATE_USER"]) == ("app-devices", "app-devices")
    assert (environment["MESHGATE_TAGS"], environment["MESHGATE_KEY_MINUTES"]) == ("tag:device", "5")
    assert environment["MESHGATE_CA_CERTIFICATE_FILE"] == "/run/credentials/x/ca.crt"
    assert environment["MESHGATE_API_KEY_FILE"] == "/run/credentials/x/api-key"


@pytest.mark.parametrize(
    ("clients", "sentence"),
    [
        ({"image": "x"}, "meshgate_mesh_clients: image describe a pod; leave them out."),
        ({"key_minutes": 0}, "meshgate_mesh_clients.key_minutes: 0 cannot be used"),
        ({"tags": ["device"]}, "meshgate_mesh_clients.tags[0]: "),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(clients: dict[str, Any], sentence: str) -> None:
    assert told(mesh_clients=clients)["msg"].startswith(sentence)
