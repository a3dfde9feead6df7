"""docs/reference.md is what `make reference` writes now."""

from environments import reference
from environments.descriptions import descriptions
from infra.settings.section import walk, within
from infra.settings.stack import StackSettings
from tests.unit.docs.commands import ROOT


def test_the_reference_is_up_to_date() -> None:
    assert (ROOT / "docs" / "reference.md").read_text() == reference.page(), "run `make reference`"


def test_every_setting_and_every_call_is_in_it() -> None:
    page = reference.page()
    for place, section in walk(StackSettings):
        assert f"### `{place}`" in page or not place
        for name in section.model_fields:
            assert f"| `{name}` |" in page
    for call in ("POST /v1/peers", "GET /v1/peers", "DELETE /v1/peers/{public_key}", "GET /readyz"):
        assert f"### `{call}`" in page
    assert "| `persistent_keepalive` | number 0-65535 | `25` | Seconds between a WireGuard client's keepalives" in page
    assert "| `meshgate_problem` | gauge | `part` | 1 while this part keeps it from that" in page
    assert "| `public_key` | body (WireGuard) | text |  |" in page
    assert "| `certificate_request` | body (Certified) | text |" in page


def test_every_setting_says_what_it_is() -> None:
    silent = [
        f"{place}.{name}"
        for place, section in walk(StackSettings)
        for name, field in section.model_fields.items()
        if not (within(section, name) or name in descriptions(section))
    ]
    assert not silent


def test_sections_are_found_wherever_they_stand() -> None:
    places = [place for place, _ in walk(StackSettings)]
    assert places == [
        "",
        "cluster",
        "pod",
        "pod.tolerations[]",
        "pod.resources",
        "pod.resources.tailscale",
        "pod.resources.tailscale.requests",
        "headscale",
        "headscale.ingress",
        "mesh_clients",
        "mesh_clients.api_from[]",
        "gateways[]",
        "gateways[].openvpn",
        "gateways[].previous_key",
        "gateways[].monitoring",
        "orchestrator",
    ]
