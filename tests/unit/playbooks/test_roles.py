"""The roles as files: what ansible-lint does not look at."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import fragment_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.plugin_docs import get_docstring

from playbooks.library import gateway_artifact, gateway_unit

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
ROLES = sorted(path for path in (PLAYBOOKS / "roles").iterdir() if path.is_dir())
MODULES = sorted(PLAYBOOKS.glob("library/*.py"))
UNITS = sorted(PLAYBOOKS.glob("roles/*/templates/*.service"))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_entry_point_has_an_argument_spec(role: Path) -> None:
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    assert set(specs) == {path.stem for path in (role / "tasks").glob("*.yml")}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_ansible_doc_can_show_every_module(module: Path) -> None:
    """A colon in a line of its description makes it something else than text."""
    (documentation,) = re.findall(r'^DOCUMENTATION = r"""(.*?)"""', module.read_text(), re.MULTILINE | re.DOTALL)
    described = yaml.safe_load(documentation)
    for one in (described, *described["options"].values()):
        told = one["description"]
        assert all(isinstance(line, str) for line in (told if isinstance(told, list) else [told]))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_every_module_says_whether_it_can_only_look(module: Path) -> None:
    """Ansible puts in what a module shares with others, where that has the form that it asks for."""
    fragment_loader.add_directory(str(PLAYBOOKS / "doc_fragments"))
    documentation, *_ = get_docstring(str(module), fragment_loader)
    assert set(documentation["attributes"]) == {"check_mode", "diff_mode"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_are_hardened_and_survive_a_reboot(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert "{% include 'hardening.conf' %}" in lines
    assert "WantedBy=multi-user.target" in lines
    assert "Restart=always" in lines
    capabilities = [line.partition("=")[2] for line in lines if line.startswith(("Ambient", "CapabilityBounding"))]
    assert len(capabilities) == 2
    assert len(set(capabilities)) == 1
    assert len([line for line in lines if line.startswith("User=meshgate")]) == 1


SERVERS = {"openvpn": {"ports": [["udp", 1194]], "environment": {}}}
INTERFACE: dict[str, Any] = {"interface": "meshgate0", "port": 51820, "environment": {"MESHGATE_WIREGUARD": "auto"}}
WITH: dict[str, Any] = {
    "port": 51820,
    "previous_port": None,
    "wireguard": {"wireguard": INTERFACE},
    "servers": {},
    "http_port": 8080,
    "probe_port": 8081,
    "in_mesh": False,
}
WITHOUT = WITH | {"port": None, "wireguard": {}, "servers": SERVERS}
ROTATED = WITH | {
    "port": 51821,
    "previous_port": 51820,
    "wireguard": WITH["wireguard"] | {"wireguard-1": INTERFACE | {"interface": "meshgate1", "port": 51821}},
}


def rendered(role: str, variables: dict[str, Any], template: str) -> Any:  # noqa: ANN401 (as Ansible has it)
    """What a template comes to in a role."""
    loader = DataLoader()
    own = loader.load_from_file(str(PLAYBOOKS / f"roles/{role}/vars/main.yml"), trusted_as_template=True)
    return Templar(loader, variables=own | variables).template(trust_as_template(template))


def told(settings: dict[str, Any], template: str, **more: object) -> Any:  # noqa: ANN401 (as Ansible has it)
    """What a template comes to in the gateway's role."""
    own: dict[str, Any] = {
        "meshgate_settings": settings,
        "meshgate_release": {"release": "97afef5b31cc", "environment": {"PYTHONUNBUFFERED": "1"}},
        "wireguard_configuration": "/etc/meshgate",
        "wireguard_root": "/opt",
        "wireguard_tls_certificate": "",
        "wireguard_identity": {
            "public_key": "the public key" if settings["port"] else "",
            "previous_public_key": "the key before" if settings["previous_port"] else "",
        },
        "meshgate_unpacked": {"unit_releases": {"wireguard": "97afef5b31cc", "wireguard-1": "97afef5b31cc"}},
    }
    return rendered("wireguard", own | more, template)


def agents_unit(settings: dict[str, Any]) -> list[str]:
    """The lines of the agent's unit, as the role writes it."""
    template = (PLAYBOOKS / "roles/wireguard/templates/meshgate-agent.service").read_text()
    return str(told(settings, template.replace("{% include 'hardening.conf' %}", ""))).splitlines()


def test_the_agent_is_told_of_a_public_key_where_there_is_one() -> None:
    environment = {"MESHGATE_MTU": "1280"}
    both = [told(one | {"environment": environment}, "{{ wireguard_environment }}") for one in (WITH, WITHOUT)]
    assert [one.get("MESHGATE_PUBLIC_KEY") for one in both] == ["the public key", None]
    assert not [name for one in both for name in one if "PREVIOUS" in name]
    rotated = told(ROTATED | {"environment": environment}, "{{ wireguard_environment }}")
    assert rotated["MESHGATE_PREVIOUS_PUBLIC_KEY"] == "the key before"


def interfaces_unit(settings: dict[str, Any], name: str) -> str:
    template = (PLAYBOOKS / "roles/wireguard/templates/meshgate-wireguard.service").read_text()
    given = {"key": name, "value": settings["wireguard"][name]}
    return str(told(settings, template.replace("{% include 'hardening.conf' %}", ""), wireguard_interface=given))


def test_in_a_rotation_the_unit_of_the_key_that_there_was_stays_as_it_is() -> None:
    """A changed file would restart it, and all tunnels."""
    before, beside, new = (
        interfaces_unit(*given) for given in ((WITH, "wireguard"), (ROTATED, "wireguard"), (ROTATED, "wireguard-1"))
    )
    assert before == beside
    assert "SyslogIdentifier=meshgate-wireguard-1\n" in new
    assert "Environment=MESHGATE_WIREGUARD=auto\n" in new


def test_a_port_below_1024_is_its_own_units_matter() -> None:
    low = ROTATED | {"wireguard": ROTATED["wireguard"] | {"wireguard-1": INTERFACE | {"port": 443}}}
    assert "CAP_NET_BIND_SERVICE" in interfaces_unit(low, "wireguard-1")
    assert "CAP_NET_BIND_SERVICE" not in interfaces_unit(low, "wireguard")


def test_the_agent_wants_the_ways_that_are_offered_and_no_others() -> None:
    (wants,) = [line for line in agents_unit(WITH) if line.startswith("Wants=")]
    assert wants == "Wants=network-online.target meshgate-wireguard.service"
    (wants,) = [line for line in agents_unit(WITHOUT) if line.startswith("Wants=")]
    assert wants == "Wants=network-online.target meshgate-openvpn.service"
    (wants,) = [line for line in agents_unit(ROTATED) if line.startswith("Wants=")]
    assert wants == "Wants=network-online.target meshgate-wireguard.service meshgate-wireguard-1.service"


def test_the_agent_reads_the_keys_of_what_it_offers() -> None:
    def credentials(settings: dict[str, Any]) -> list[str]:
        return re.findall(r"^LoadCredential=(.+?):", "\n".join(agents_unit(settings)), re.MULTILINE)

    assert credentials(WITH) == ["private-key", "tokens"]
    assert credentials(WITHOUT) == ["tokens", "issuing-certificate", "issuing-key"]
    assert credentials(ROTATED) == ["private-key", "previous-private-key", "tokens"]


def test_low_ports_need_their_capability_with_wireguard_and_without() -> None:
    def capabilities(**changes: object) -> str:
        (line,) = [line for line in agents_unit(WITHOUT | changes) if line.startswith("AmbientCapabilities=")]
        return line.partition("=")[2]

    assert capabilities() == "CAP_NET_ADMIN"
    assert capabilities(port=443) == capabilities(http_port=443) == "CAP_NET_ADMIN CAP_NET_BIND_SERVICE"
    assert capabilities(port=51820, previous_port=443) == "CAP_NET_ADMIN CAP_NET_BIND_SERVICE"


def keys_unit() -> list[str]:
    """The lines of the key service's unit, as the role writes it, without what all units have."""
    template = (PLAYBOOKS / "roles/keys/templates/meshgate-keys.service").read_text()
    variables = {
        "meshgate_key_settings": {"environment": {"MESHGATE_TAGS": "tag:a,tag:b", "MESHGATE_USER": "app-devices"}},
        "meshgate_release": {"release": "97afef5b31cc", "environment": {"PYTHONUNBUFFERED": "1"}},
        "keys_configuration": "/etc/meshgate-keys",
        "keys_root": "/opt/meshgate-keys",
        "meshgate_headscale_api_key": "the api key",
        "meshgate_tokens": "register the token",
    }
    return str(rendered("keys", variables, template.replace("{% include 'hardening.conf' %}", ""))).splitlines()


def test_the_key_service_has_no_capability_and_its_secrets_by_systemd_alone() -> None:
    lines = keys_unit()
    assert {"AmbientCapabilities=", "CapabilityBoundingSet=", "PrivateDevices=yes", "DevicePolicy=closed"} <= {*lines}
    assert [line for line in lines if line.startswith("LoadCredential=")] == [
        f"LoadCredential={name}:/etc/meshgate-keys/{name}" for name in ("api-key", "ca.crt", "tokens")
    ]
    assert not [line for line in lines if "the api key" in line or "the token" in line]
    assert not [line for line in lines if line.startswith(("EnvironmentFile=", "StateDirectory="))], "it keeps nothing"


def test_a_change_of_any_credential_restarts_the_key_service(tmp_path: Path) -> None:
    unit = tmp_path / "meshgate-keys.service"
    unit.write_text("\n".join(keys_unit()))
    read = [path.name for path in gateway_unit.files(unit)]
    assert read == ["meshgate-keys.service", "api-key", "ca.crt", "tokens"]


def test_the_key_service_may_do_nothing_that_the_agent_may_not() -> None:
    """Hardening stands in one file for all; what a unit says itself only takes away."""
    directives = {line.partition("=")[0] for line in keys_unit() if "=" in line}
    shared = {line.partition("=")[0] for line in (PLAYBOOKS / "templates/hardening.conf").read_text().splitlines()}
    assert not directives & shared


def test_the_artifact_and_the_image_are_told_the_same_environment() -> None:
    dockerfile = (PLAYBOOKS.parent / "gateway/Dockerfile").read_text()
    for name, value in gateway_artifact.ENVIRONMENT.items():
        assert f"{name}={value}" in dockerfile


@pytest.mark.parametrize(
    ("playing", "goes"),
    [(["a", "b", "c"], True), (["a"], False), (["c"], True), (["a", "b"], True)],
)
def test_devices_stay_while_another_host_hands_out_their_keys(playing: list[str], goes: bool) -> None:
    loader = DataLoader()
    (play,) = loader.load_from_file(str(PLAYBOOKS / "remove-keys.yml"), trusted_as_template=True)
    task = play["tasks"][-1]
    both, own = {"url": "https://headscale.test"}, {"url": "https://headscale.test", "user": "other"}
    hosts = {name: {"meshgate_headscale": server} for name, server in {"a": both, "b": both, "c": own}.items()}
    variables = {
        **task["vars"],
        "groups": {"meshgate_keys": list(hosts)},
        "hostvars": hosts,
        "ansible_play_hosts": playing,
        "meshgate_headscale": hosts[playing[0]]["meshgate_headscale"],
    }
    assert Templar(loader, variables=variables).evaluate_conditional(trust_as_template(task["when"])) is goes
