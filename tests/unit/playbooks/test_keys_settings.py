"""The module keys_settings: what a key service on a machine is told, and what is refused."""

from typing import Any

import pytest

from gateway.agent.settings_loading import load
from gateway.keys.settings import KeySettings
from playbooks.filter_plugins.gateway_listeners import gateway_probe_url
from tests.certificates import CA
from tests.unit.playbooks.modules import run

# After `modules`, which lets it find what it shares.
from playbooks.library import keys_settings  # isort: skip

HEADSCALE = {"url": "https://headscale.example.com"}


def told(**arguments: Any) -> Any:  # noqa: ANN401 (as Ansible has it)
    return run(keys_settings, {"headscale": HEADSCALE, "credentials": "/run/credentials/x", **arguments})


def test_it_listens_for_the_machine_alone_unless_it_is_told_where() -> None:
    alone, at = told(), told(keys_url="http://10.0.0.6:8090", probe_port=8091)
    assert (alone["environment"]["MESHGATE_HTTP_HOST"], gateway_probe_url(alone)) == (
        "127.0.0.1",
        "http://127.0.0.1:8083",
    )
    environment = at["environment"]
    assert (environment["MESHGATE_HTTP_HOST"], environment["MESHGATE_HTTP_PORT"]) == ("10.0.0.6", "8090")
    assert (at["http_host"], at["http_port"], gateway_probe_url(at)) == ("10.0.0.6", 8090, "http://10.0.0.6:8091")
    assert gateway_probe_url(told(keys_url="http://[fd00::6]:8090")) == "http://[fd00::6]:8083"
    assert told(keys_url="https://keys.example.com")["environment"]["MESHGATE_HTTP_HOST"] == "127.0.0.1"


def test_the_service_understands_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = {"tags": ["tag:a", "tag:b"], "devices_per_owner": 3, "keys_per_minute": 7}
    for name, value in told(mesh_clients=clients, keys_url="http://[fd00::6]:8090")["environment"].items():
        monkeypatch.setenv(name, value)
    service = load(KeySettings)
    assert (service.user, service.tags, service.key_minutes) == ("meshgate-devices", ("tag:a", "tag:b"), 10)
    assert (service.devices_per_owner, service.keys_per_minute) == (3, 7)
    assert (service.http_host, service.http_port, service.probe_port) == ("fd00::6", 8090, 8083)
    assert service.ca_certificate_file is None


def test_it_is_told_what_a_pod_is_told() -> None:
    server = HEADSCALE | {"user": "app", "ca_certificate": CA}
    outcome = told(headscale=server, mesh_clients={"tags": ["tag:device"], "key_minutes": 5})
    environment = outcome["environment"]
    assert (outcome["user"], environment["MESHGATE_USER"]) == ("app-devices", "app-devices")
    assert (environment["MESHGATE_TAGS"], environment["MESHGATE_KEY_MINUTES"]) == ("tag:device", "5")
    assert environment["MESHGATE_CA_CERTIFICATE_FILE"] == "/run/credentials/x/ca.crt"
    assert environment["MESHGATE_API_KEY_FILE"] == "/run/credentials/x/api-key"


@pytest.mark.parametrize(
    ("machine", "sentence"),
    [
        ({"keys_url": "10.0.0.6:8082"}, "meshgate_keys_url: '10.0.0.6:8082' is not a URL such as "),
        ({"keys_url": "http://10.0.0.6:99999"}, "meshgate_keys_url: 'http://10.0.0.6:99999' is not a URL such as "),
        ({"keys_url": "http://192.0.2.6:8082"}, "meshgate_keys_url: 'http://192.0.2.6:8082' would carry the token in "),
        ({"keys_url": "http://10.0.0.6"}, "meshgate_keys_url has port 80, for which the key service would need a cap"),
        ({"keys_url": "http://10.0.0.6:8083"}, "meshgate_keys_probe_port 8083 is also the port of the API; "),
        ({"probe_port": 8082}, "meshgate_keys_probe_port 8082 is also the port of the API; "),
        ({"probe_port": 80}, "meshgate_keys_probe_port: 80 cannot be used: it should be greater than or equal to 1024"),
    ],
)
def test_where_it_cannot_listen_is_refused(machine: dict[str, Any], sentence: str) -> None:
    assert told(**machine)["msg"].startswith(sentence)


@pytest.mark.parametrize(
    ("clients", "sentence"),
    [
        ({"lifetime": 5}, "meshgate_mesh_clients.lifetime: there is no such setting; known here are api_from, "),
        ({"image": "x"}, "meshgate_mesh_clients: image describe a pod; leave them out."),
        ({"key_minutes": 0}, "meshgate_mesh_clients.key_minutes: 0 cannot be used"),
        ({"tags": ["device"]}, "meshgate_mesh_clients.tags[0]: "),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(clients: dict[str, Any], sentence: str) -> None:
    assert told(mesh_clients=clients)["msg"].startswith(sentence)
