"""What each kind of value refuses and takes, wherever it stands; a scalar is a text where a text is meant."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from infra.settings.loading import SettingsError, load
from infra.settings.stack import StackSettings
from tests.certificates import CA

URL = "https://headscale.example.com"
GATEWAY: dict[str, Any] = {"name": "one", "endpoint": "vpn.example.com:31820"}
METAL: dict[str, Any] = {"name": "edge", "endpoint": "edge.example.com:51820", "target": "metal"}


def gateway(**changes: object) -> dict[str, Any]:
    return {"gateways": [GATEWAY | changes]}


def metal(**changes: object) -> dict[str, Any]:
    return {"gateways": [METAL | changes]}


def headscale(**changes: object) -> dict[str, Any]:
    return gateway() | {"headscale": {"managed": True, "url": URL} | changes}


def loaded(values: dict[str, Any]) -> StackSettings:
    return load(values.get, values)


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as error:
        loaded(values)
    (sentence,) = str(error.value).splitlines()
    return sentence


@pytest.mark.parametrize(
    "network",
    [
        *("127.0.0.0/16", "224.0.0.0/16", "169.254.0.0/16", "0.0.0.0/8", "240.0.0.0/16", "10.0.0.0/7"),
        *("8.8.8.0/24", "203.0.113.0/24", "198.18.0.0/16"),
    ],
)
def test_devices_have_private_addresses(network: str) -> None:
    assert f"client_networks[0]: {network} is not private: the gateway masquerades its devices" in refusal(
        gateway(client_networks=[network])
    )


@pytest.mark.parametrize(
    "network", ["fe80::/64", "ff02::/64", "2001:db8::/64", "2002:a00::/64", "::/64", "fec0::/64", "2000::/3"]
)
def test_devices_have_ipv6_addresses_that_hosts_can_have(network: str) -> None:
    assert f"client_networks[1]: {network} is neither private (fc00::/7) nor a provider's" in refusal(
        gateway(client_networks=["10.77.0.0/16", network])
    )


@pytest.mark.parametrize(
    "networks",
    [["10.0.0.0/8"], ["172.31.0.0/16"], ["192.168.4.0/24", "fd77::/64"], ["10.77.0.0/16", "2a01:4f8:1:2::/64"]],
)
def test_private_networks_and_a_providers_are_taken(networks: list[str]) -> None:
    values = gateway(client_networks=networks) | {"cluster": {"pod_networks": [], "service_networks": []}}
    assert [*map(str, loaded(values).gateways[0].client_networks)] == networks


def test_the_order_of_what_has_none_changes_nothing() -> None:
    networks = ["10.77.0.0/16", "fd77::/64"]
    one = loaded(headscale() | gateway(client_networks=networks, tags=["tag:a", "tag:b"]))
    other = loaded(headscale() | gateway(client_networks=networks[::-1], tags=["tag:b", "tag:a", "tag:b"]))
    assert one == other


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("999.999.999.999", "'999.999.999.999' is neither a host name nor an IP address"),
        ("10.0.0", "'10.0.0' is neither"),
        ("..", "'..' is neither"),
        ("vpn..example.com", "is neither"),
        ("-vpn.example.com", "is neither"),
        (f"{'a' * 64}.example.com", "is neither"),
        (".".join(["a" * 60] * 5), "is neither"),
        ("0.0.0.0", "0.0.0.0 stands for every address of a machine; write the name or the address by which"),  # noqa: S104
        ("[::]", ":: stands for every address of a machine"),
        ("224.0.0.1", "224.0.0.1 is of multicast"),
        ("[ff02::1]", "ff02::1 is of multicast"),
        ("169.254.1.1", "169.254.1.1 is link-local"),
        ("[fe80::1]", "fe80::1 is link-local"),
        ("255.255.255.255", "255.255.255.255 is reserved"),
    ],
)
def test_nobody_dials_such_a_host(host: str, why: str) -> None:
    for setting, value in (
        ("endpoint", f"{host}:31820"),
        ("host", host.strip("[]")),
        ("peers_url", f"https://{host}:8443"),
    ):
        said = refusal(metal(**{setting: value}))
        assert said.startswith(f"meshgate:gateways[0].{setting}: ")
        assert why in said


@pytest.mark.parametrize("endpoint", ["[10.0.0.1]:31820", "[a]:31820", "::1:31820", "vpn.example.com:0", "a_b:31820"])
def test_what_is_no_endpoint(endpoint: str) -> None:
    assert "is not host:port" in refusal(gateway(endpoint=endpoint)) or "is neither" in refusal(
        gateway(endpoint=endpoint)
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1:31820",
        "10.0.0.1:31820",
        "localhost:31820",
        "[::1]:31820",
        "[2001:db8::1]:31820",
        "3com.example:31820",
    ],
)
def test_a_lab_is_near(endpoint: str) -> None:
    assert loaded(gateway(endpoint=endpoint)).gateways[0].port == 31820


def test_clients_do_not_ask_themselves_for_names() -> None:
    assert "dns[0]: 127.0.0.53 is the device itself; give a resolver" in refusal(gateway(dns=["127.0.0.53"]))
    assert "dns[0]: 0.0.0.0 stands for every address" in refusal(gateway(dns=["0.0.0.0"]))  # noqa: S104
    assert loaded(gateway(dns=["100.100.100.100", "9.9.9.9"]))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            headscale(url=f"{URL}/hs"),
            f"'{URL}/hs' has the path /hs, and nodes dial the host alone; give Headscale a ho",
        ),
        (metal(peers_url="http://10.0.0.5:8080/gw"), "has the path /gw, and what answers there itself has none; leave"),
        (headscale(url="https://[::1"), "'https://[::1' is not a URL such as https://headscale.example.com ("),
        (headscale(url="https://headscale.example.com\n.evil.example"), "is not a URL such as"),
        (headscale(url="https://999.1.1.1"), "('999.1.1.1' is neither a host name nor an IP address)"),
    ],
)
def test_a_url_that_cannot_be_dialled(values: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(values)


def test_a_proxy_may_have_its_peer_api_below_a_path() -> None:
    url = "https://gateways.example.com/one"
    assert loaded(metal(peers_url=f"{url}/")).gateways[0].peers_url == url
    assert loaded(headscale(url=f"{URL}/")).headscale == loaded(headscale()).headscale


@pytest.mark.parametrize(
    "name", ["ops", "alice@example.com", "Alice.Smith", "build_bot", "1team", "jörg", "a", "alice@"]
)
def test_a_headscale_user_may_be_any_that_a_server_has(name: str) -> None:
    server = loaded(headscale(user=name)).headscale
    assert server is not None
    assert server.user == name


@pytest.mark.parametrize("name", ["", "@home", "a@b@c", "two words", "a/b", "-x", "a\n"])
def test_what_no_server_calls_a_user(name: str) -> None:
    assert "is no name of a Headscale user: a letter or digit" in refusal(headscale(user=name))


def test_others_namespaces_may_have_any_name_that_the_cluster_takes() -> None:
    long = "a" * 63
    taken = gateway(api_from=[{"namespace": long}], monitoring={"namespace": long})
    assert loaded(taken | {"orchestrator": {"deployment": "june.v2", "namespace": long}}).orchestrator
    assert "orchestrator.namespace: 'June' is not a name of at most 63" in refusal(
        gateway() | {"orchestrator": {"deployment": "june", "namespace": "June"}}
    )
    assert "api_from[0].namespace: 'a/b' is not a name of at most 63" in refusal(
        gateway(api_from=[{"namespace": "a/b"}])
    )


def test_a_scalar_is_a_text_where_a_text_is_meant() -> None:
    """As `pulumi config set --path` stores what looks like a number, and YAML what looks like a date."""
    first = loaded(
        gateway(
            name=2,
            key_rotation=2,
            token_rotation=True,
            service_annotations={"internal": True, 5: 1.5},
            storage_class=date(2026, 11, 28),
            api_from=[{"pod_labels": {"canary": False}}],
        )
    ).gateways[0]
    assert (first.name, first.key_rotation, first.token_rotation) == ("2", "2", "true")
    assert first.service_annotations == {"internal": "true", "5": "1.5"}
    assert first.storage_class == "2026-11-28"
    assert first.api_from[0].pod_labels == {"canary": "false"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"gateways": "one"}, "gateways: it is not a list."),
        ({"gateways": ["one"]}, "gateways[0]: it is not a section, which is settings by their names."),
        (gateway() | {"headscale": URL}, "headscale: it is not a section"),
        (gateway(access="wireguard"), "gateways[0].access: it is not a list."),
        (gateway(service_annotations=["a"]), "gateways[0].service_annotations: it is not names with their values."),
        (gateway(service_annotations={"a": None}), "gateways[0].service_annotations.a: it is not text."),
        (gateway(endpoint=["vpn.example.com:31820"]), "gateways[0].endpoint: it is not text."),
        (gateway(mtu=[1280]), "gateways[0].mtu: it is not a number."),
        (gateway(mesh=["yes"]), "gateways[0].mesh: it is not true or false."),
        (gateway(mesh="perhaps"), "gateways[0].mesh: 'perhaps' cannot be used: it is not true or false."),
        (gateway(mtu="large"), "gateways[0].mtu: 'large' cannot be used: it is not a number."),
        (gateway(mtu=1280.5), "gateways[0].mtu: 1280.5 cannot be used: it is not a whole number."),
    ],
)
def test_another_shape_is_told_in_plain_words(values: dict[str, Any], sentence: str) -> None:
    assert refusal(values).startswith(f"meshgate:{sentence}")


def test_a_number_in_place_of_something_else_is_refused_as_before() -> None:
    assert "gateways[0].endpoint: '5' is not host:port" in refusal(gateway(endpoint=5))


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("2027-06-01T02:00:00+02:00", "2027-06-01T00:00:00+00:00"),
        ("2027-06-01T00:00:00Z", "2027-06-01T00:00:00+00:00"),
        ("2027-06-01", "2027-06-01T00:00:00+00:00"),
        (date(2027, 6, 1), "2027-06-01T00:00:00+00:00"),
        (datetime(2027, 6, 1, 12, tzinfo=UTC), "2027-06-01T12:00:00+00:00"),
    ],
)
def test_a_time_is_one_wherever_it_is_read(given: object, moment: str) -> None:
    previous = loaded(gateway(previous_key={"port": 31819, "until": given})).gateways[0].previous_key
    assert previous
    assert previous.until
    assert previous.until.isoformat() == moment


@pytest.mark.parametrize("given", ["2027-06-01T00:00:00", "20270601", "in June", 5, "2027-13-01"])
def test_a_time_that_is_none(given: object) -> None:
    assert refusal(gateway(previous_key={"port": 31819, "until": given})) == (
        f"meshgate:gateways[0].previous_key.until: '{given}' is not a time such as 2027-06-01T00:00:00Z, or a date "
        "such as 2027-06-01."
    )


@pytest.mark.parametrize("value", ["2", "true", "null", "1e5", '"x"', "[1]"])
def test_a_text_at_the_top_is_never_taken_for_json(value: str) -> None:
    values = {**headscale(managed=False), "headscale_api_key": value}
    texts = {key: one if isinstance(one, str) else json.dumps(one) for key, one in values.items()}
    key = load(texts.get, texts).headscale_api_key
    assert key is not None
    assert key.get_secret_value() == value


def test_an_id_of_digits_stays_one() -> None:
    values = {"gateways": json.dumps([GATEWAY]), "recover": "1234567890123456789012345678e901"}
    assert load(values.get, values).recover == values["recover"]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (gateway(service_annotations={"a": "hskey-auth-0123456789ab-secret"}), "a key of Headscale"),
        (gateway(image="https://me:secret@registry.example.com/gateway:1"), "credentials in a URL"),
        (gateway(key_rotation="tskey-auth-secret"), "a key of Tailscale"),
        (headscale(url="https://me:secret@headscale.example.com"), "credentials"),
        (headscale(url="https://secret@headscale.example.com"), "credentials"),
        (headscale(url="https://:secret@headscale.example.com"), "credentials"),
        (headscale(url="me:secret@headscale.example.com"), "credentials"),
        (headscale(url="https://headscale.example.com?token=secret"), "a query"),
        (metal(peers_url="https://:secret@edge.example.com"), "credentials"),
        (headscale(ca_certificate=CA + "-----BEGIN PRIVATE KEY-----\nsecret"), "a private key in PEM form"),
        ({"cluster": {"context": "hskey-api-0123456789ab-secret"}} | gateway(), "a key of Headscale"),
    ],
)
def test_no_setting_in_plain_text_holds_a_secret(values: dict[str, Any], what: str) -> None:
    said = refusal(values)
    assert " must not hold " in said
    assert what in said
    assert "secret" not in said


def test_a_ca_is_given_as_people_have_it() -> None:
    for text in (f"# Prüfstelle\n{CA}\nEnde\n", f"\ufeff{CA}"):
        server = loaded(headscale(ca_certificate=text)).headscale
        assert server is not None
        assert server.ca_certificate == CA
