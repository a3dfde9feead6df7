"""What charon is told of a device."""

from gateway.agent.certificates import common_name
from gateway.agent.protocols.ipsec.device_connections import admitted, dismissed, name_of, names
from gateway.agent.store import Device
from tests.unit.agent.fakes import agent_settings, made_issuer

ID = "vq+/ya2fnV1pYjXSx0WwAJUk0MoAbsLyvQO8SCFF7Dk="
DEVICE = Device(number=5, public_key=ID, protocol="ipsec", created_at=1)
SETTINGS = agent_settings(endpoint="[2001:db8::1]:51820", dns="10.1.0.53,fd00::53")


def test_a_device_has_its_own_addresses_and_no_others() -> None:
    loaded = [command.message for command in admitted(DEVICE, SETTINGS, made_issuer()) if command.name == "load-pool"]
    pools = {name: told for message in loaded for name, told in message.items()}
    assert sorted(str(told["addrs"]) for told in pools.values()) == ["10.77.0.5/32"] * 2 + ["fd77::5/128"] * 2
    assert {str(told["addrs"]): told["dns"] for told in pools.values()} == {
        "10.77.0.5/32": ["10.1.0.53"],
        "fd77::5/128": ["fd00::53"],
    }


def test_its_id_is_taken_as_a_name_and_as_a_subject() -> None:
    issuer, name = made_issuer(), common_name(ID)
    loaded = [command.message for command in admitted(DEVICE, SETTINGS, issuer) if command.name == "load-conn"]
    connections = {key: told for message in loaded for key, told in message.items()}
    assert set(connections) == set(names(ID))
    assert [told["remote"]["id"] for told in connections.values()] == [f"fqdn:{name}", f"CN={name}"]
    for told in connections.values():
        assert told["remote"]["cacerts"] == [issuer.issuing.encode()]
        assert told["local"]["id"] == "2001:db8::1"
    assert {name_of(connection) for connection in connections} == {name}


def test_what_was_loaded_is_unloaded_and_then_ended() -> None:
    loaded = [next(iter(command.message)) for command in admitted(DEVICE, SETTINGS, made_issuer())]
    commands = list(dismissed([ID], SETTINGS.client_networks))
    unloaded = [command.message["name"] for command in commands if command.name.startswith("unload")]
    assert sorted(unloaded) == sorted(loaded)
    order = [command.name for command in commands]
    assert order.index("terminate") > max(at for at, name in enumerate(order) if name == "unload-conn")
    assert all(command.may_fail for command in commands)
