"""What charon is told of a device."""

import pytest

from gateway.agent.certificates import Issuer, common_name
from gateway.agent.protocols.ipsec.charon import Command
from gateway.agent.protocols.ipsec.device_connections import admitted, dismissed, name_of, names
from gateway.agent.protocols.ipsec.kernel_esp import IF_ID
from gateway.agent.store import Device
from tests.unit.agent.fakes import agent_settings, made_issuer

ID = "vq+/ya2fnV1pYjXSx0WwAJUk0MoAbsLyvQO8SCFF7Dk="
DEVICE = Device(number=5, public_key=ID, protocol="ipsec", created_at=1)
SETTINGS = agent_settings(endpoint="[2001:db8::1]:51820", dns="10.1.0.53,fd00::53")


def told(issuer: Issuer, *, by_kernel: bool = False) -> list[Command]:
    return list(admitted(DEVICE, SETTINGS, issuer, by_kernel=by_kernel))


def test_a_device_has_its_own_addresses_and_no_others() -> None:
    loaded = [command.message for command in told(made_issuer()) if command.name == "load-pool"]
    pools = {name: pool for message in loaded for name, pool in message.items()}
    assert sorted(str(pool["addrs"]) for pool in pools.values()) == ["10.77.0.5/32"] * 2 + ["fd77::5/128"] * 2
    assert {str(pool["addrs"]): pool["dns"] for pool in pools.values()} == {
        "10.77.0.5/32": ["10.1.0.53"],
        "fd77::5/128": ["fd00::53"],
    }


def test_its_id_is_taken_as_a_name_and_as_a_subject() -> None:
    issuer, name = made_issuer(), common_name(ID)
    loaded = [command.message for command in told(issuer) if command.name == "load-conn"]
    connections = {key: connection for message in loaded for key, connection in message.items()}
    assert set(connections) == set(names(ID))
    assert [one["remote"]["id"] for one in connections.values()] == [f"fqdn:{name}", f"CN={name}"]
    for one in connections.values():
        assert one["remote"]["cacerts"] == [issuer.issuing.encode()]
        assert one["local"]["id"] == "2001:db8::1"
    assert {name_of(connection) for connection in connections} == {name}


@pytest.mark.parametrize("by_kernel", [True, False])
def test_the_kernels_esp_is_bound_to_the_interface(by_kernel: bool) -> None:
    loaded = [command.message for command in told(made_issuer(), by_kernel=by_kernel) if command.name == "load-conn"]
    children = [child for message in loaded for one in message.values() for child in one["children"].values()]
    bound = {"if_id_in": hex(IF_ID), "if_id_out": hex(IF_ID)} if by_kernel else {}
    assert [{key: child[key] for key in child if key.startswith("if_id")} for child in children] == [bound] * 2


def test_what_was_loaded_is_unloaded_and_then_ended() -> None:
    loaded = [next(iter(command.message)) for command in told(made_issuer())]
    commands = list(dismissed([ID], SETTINGS.client_networks))
    unloaded = [command.message["name"] for command in commands if command.name.startswith("unload")]
    assert sorted(unloaded) == sorted(loaded)
    order = [command.name for command in commands]
    assert order.index("terminate") > max(at for at, name in enumerate(order) if name == "unload-conn")
    assert all(command.may_fail for command in commands)
