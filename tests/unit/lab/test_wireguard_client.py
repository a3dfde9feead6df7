import configparser

import pytest

from console.errors import StepError
from lab.network import joining, topology
from lab.network.wireguard_client import Config

ANSWER = {
    "success": True,
    "message": "Device registered",
    "device_name": "phone",
    "privateKey": "cHJpdmF0ZWtleXByaXZhdGVrZXlwcml2YXRla2V5MTI=",
    "publicKey": "unused",
    "address": "10.77.0.2/32,fd77::2/128",
    "serverPublicKey": "c2VydmVya2V5c2VydmVya2V5c2VydmVya2V5c2VydmU=",
    "serverEndpoint": "10.213.0.1:31820",
    "allowedIPs": "0.0.0.0/0,::/0",
    "dns": "",
    "persistentKeepalive": 25,
}


def sections(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_the_answer_of_a_registration_is_a_whole_wg_quick_config() -> None:
    assert sections(Config.from_registration(ANSWER).wg_quick()) == {
        "Interface": {"PrivateKey": ANSWER["privateKey"], "Address": "10.77.0.2/32, fd77::2/128"},
        "Peer": {
            "PublicKey": ANSWER["serverPublicKey"],
            "Endpoint": "10.213.0.1:31820",
            "AllowedIPs": "0.0.0.0/0, ::/0",
            "PersistentKeepalive": "25",
        },
    }


def test_names_servers_reach_the_config() -> None:
    config = Config.from_registration({**ANSWER, "dns": "10.77.0.1, fd77::1"})
    assert sections(config.wg_quick())["Interface"]["DNS"] == "10.77.0.1, fd77::1"


def test_wg_gets_only_what_it_knows() -> None:
    config = Config.from_registration({**ANSWER, "dns": "10.77.0.1"})
    assert list(sections(config.wg())["Interface"]) == ["PrivateKey"]


def test_the_private_key_is_not_shown_by_accident() -> None:
    assert str(ANSWER["privateKey"]) not in repr(Config.from_registration(ANSWER))


def test_clients_take_the_first_free_address_and_a_full_lan_says_so() -> None:
    assert joining.free_number(topology.CLIENTS, {"10.213.0.100", "10.213.0.102"}) == 101
    everyone = {f"10.213.0.{number}" for number in topology.CLIENTS}
    with pytest.raises(StepError, match=r"All 100 addresses from 10\.213\.0\.100 on are taken"):
        joining.free_number(topology.CLIENTS, everyone)
