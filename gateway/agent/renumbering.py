"""Stored devices keep their addresses, whatever the client networks become, unless the settings give these up.

A device has a number, counted from a network's first address. So a network that only became larger or smaller leaves
addresses as they are. One that begins elsewhere, or that went away, does not.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_network

from gateway.agent.pool import FIRST_NUMBER, TO_RENUMBER, Network, Pool, last_number
from gateway.agent.store import Device, Store

log = logging.getLogger(__name__)


def numbered(store: Store, networks: Sequence[Network], *, renumber: bool) -> tuple[list[Device], Pool]:
    """The stored devices, and the pool that their numbers are of. The store keeps which networks these count in.

    ValueError if the networks have no room for them, or would give them other addresses, which `renumber` allows.
    """
    devices, before = store.everyone(), store.client_networks()
    lost = _lost(before, networks) if devices else []
    if lost and not renumber:
        raise ValueError(
            f"the devices in the store have addresses in {', '.join(lost)} and would lose them: "
            f"go back to the old networks, or {TO_RENUMBER}"
        )
    moves = _moves([device.number for device in devices], networks) if renumber else {}
    moved = {device.public_key: moves[device.number] for device in devices if device.number in moves}
    if moved:
        devices = [replace(device, number=moved.get(device.public_key, device.number)) for device in devices]
    pool = Pool(networks, (device.number for device in devices), store.newest_number())
    if lost or moved:
        log.warning("devices get other addresses: the client networks are others, and MESHGATE_RENUMBER allows it")
    if moved or before != {str(network) for network in networks}:
        store.settle(map(str, networks), moved)
    return devices, pool


def _lost(before: Iterable[str], networks: Sequence[Network]) -> list[str]:
    """Networks in which devices would not keep their addresses."""
    first_addresses = {network.network_address for network in networks}
    return sorted(text for text in before if ip_network(text).network_address not in first_addresses)


def _moves(stored: Sequence[int], networks: Sequence[Network]) -> dict[int, int]:
    """A free number for each that the networks have no room for; for as many as there are free ones."""
    taken, last = set(stored), last_number(networks)
    free = (number for number in range(FIRST_NUMBER, last + 1) if number not in taken)
    return dict(zip(sorted(number for number in stored if number > last), free, strict=False))
