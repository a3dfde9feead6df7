"""All devices, in memory as in the store: who has a key, a number or an address, and who may be in."""

from collections.abc import Iterable, Iterator, Sequence

from gateway.agent.errors import DeviceUnknownError
from gateway.agent.expiry import Lifetimes
from gateway.agent.pool import Network, addresses
from gateway.agent.renumbering import numbered
from gateway.agent.store import Device, ProtocolName, Store


class KnownDevices:
    """The devices of the store; `StoredDevices` and `Devices` change both."""

    def __init__(self, store: Store, networks: tuple[Network, ...], lifetimes: Lifetimes, *, renumber: bool) -> None:
        self._networks = networks
        self._lifetimes = lifetimes
        devices, self.pool = numbered(store, networks, renumber=renumber)
        self._by_key = {device.public_key: device for device in devices}
        self._by_number = {device.number: device for device in devices}
        self._shut_out: set[str] = set()
        """Keys of devices that are out since their time was over, and still stored. Only `expire` takes one from here,
        where a clock was set right, or a registration."""

    @property
    def resting(self) -> int:
        """How many devices are shut out, and hold their addresses until they are forgotten."""
        return len(self._shut_out)

    async def find(self, public_key: str) -> Device:
        """The device with this key; DeviceUnknownError if there is none."""
        device = self._by_key.get(public_key)
        if device is None or self._lifetimes.is_over(device):
            raise DeviceUnknownError
        return device

    async def page(self, after: int, limit: int) -> list[Device]:
        """At most `limit` devices in the order of their numbers, from the first above `after`."""
        page: list[Device] = []
        for number in range(after + 1, self.pool.last + 1):
            device = self._by_number.get(number)
            if device is not None and not self._lifetimes.is_over(device):
                page.append(device)
                if len(page) == limit:
                    break
        return page

    def holder(self, number: int) -> Device | None:
        """The device that has this number, if it may be in."""
        device = self._by_number.get(number)
        return device if device and self.among([device.public_key]) else None

    def addresses(self, device: Device) -> tuple[str, ...]:
        """The device's own addresses in the tunnel: 10.77.0.5/32, fd77::5/128."""
        return addresses(self._networks, device.number)

    def keys(self, protocol: ProtocolName) -> Iterator[str]:
        """The public keys of all devices of a protocol, those whose time is over among them."""
        return (key for key, device in self._by_key.items() if device.protocol == protocol)

    def among(self, public_keys: Iterable[str]) -> dict[str, Device]:
        """Those of these keys whose devices may be in."""
        found = {key: device for key in public_keys if (device := self._by_key.get(key)) and key not in self._shut_out}
        return {key: device for key, device in found.items() if not self._lifetimes.is_over(device)}

    def unswept(self, public_keys: Iterable[str]) -> set[str]:
        """Those of these keys that are stored and not shut out: one that may not be in waits for `expire`."""
        return {key for key in public_keys if key in self._by_key and key not in self._shut_out}

    def _keep(self, device: Device) -> None:
        self._by_key[device.public_key] = self._by_number[device.number] = device
        self._shut_out.discard(device.public_key)

    def _drop(self, devices: Sequence[Device]) -> None:
        for device in devices:
            del self._by_key[device.public_key]
            if self._by_number[device.number].public_key == device.public_key:  # and not another member's newcomer
                del self._by_number[device.number]
                self.pool.release([device.number])
        keys = [device.public_key for device in devices]
        self._lifetimes.forget(keys)
        self._shut_out.difference_update(keys)
