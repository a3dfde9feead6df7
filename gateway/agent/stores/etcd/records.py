"""What is kept in etcd, under a gateway's prefix, and how it is asked for.

devices/KEY      a device, as JSON; KEY is its public key
numbers/NUMBER   who has the number: KEY
state/identity   a name that the devices of this prefix got when they began, or the phase of their move (`moving`)
state/newest     the number that was given out last
state/networks   the client networks, as a list in JSON
state/written    nothing: it is written to see whether that can be done
"""

import base64
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from gateway.agent.store import REVOKED, Device

log = logging.getLogger(__name__)

Part = dict[str, Any]
"""A part of a request, as rpc.proto has it in JSON."""

AT_ONCE = 40
"""Devices in one transaction: etcd takes 128 operations (--max-txn-ops)."""


@dataclass(frozen=True)
class Record:
    """A device as etcd has it, with the revisions of its first and of its last change."""

    device: Device
    created: int
    version: int
    is_revoked: bool = False
    """Whether it was revoked here, and etcd could not be told yet."""

    @property
    def known(self) -> Device:
        """The device as this member has it."""
        return replace(self.device, expires_at=REVOKED) if self.is_revoked else self.device


class Names:
    """The keys of one gateway."""

    def __init__(self, prefix: str) -> None:
        self.root = f"{prefix.strip('/')}/"
        self.devices, self.numbers, self.state = (f"{self.root}{part}/" for part in ("devices", "numbers", "state"))
        self.identity, self.newest, self.networks, self.written = (
            f"{self.state}{name}" for name in ("identity", "newest", "networks", "written")
        )

    def device(self, public_key: str) -> str:
        """Where a device is."""
        return f"{self.devices}{public_key}"

    def number(self, number: int) -> str:
        """Where it is said who has a number."""
        return f"{self.numbers}{number}"


def in_base64(text: str) -> str:
    """As etcd's JSON has keys and values."""
    return base64.b64encode(text.encode()).decode()


def in_text(encoded: str) -> str:
    """The opposite of `in_base64`, also of what somebody else has put there."""
    return base64.b64decode(encoded).decode(errors="replace")


def value(pair: Part) -> str:
    """What a KeyValue (kv.proto) has, which is left out if it is nothing."""
    return in_text(pair.get("value", ""))


def below(prefix: str) -> Part:
    """The range of all keys with this prefix, which ends in a slash."""
    return {"key": in_base64(prefix), "range_end": in_base64(f"{prefix[:-1]}0")}  # 0 comes after /


def get(key: str) -> Part:
    """An operation that reads a key."""
    return {"request_range": {"key": in_base64(key)}}


def put(key: str, text: str) -> Part:
    """An operation that writes a key."""
    return {"request_put": {"key": in_base64(key), "value": in_base64(text)}}


def delete(key: str) -> Part:
    """An operation that removes a key."""
    return {"request_delete_range": {"key": in_base64(key)}}


def delete_below(prefix: str) -> Part:
    """An operation that removes all keys with this prefix."""
    return {"request_delete_range": below(prefix)}


def has_value(key: str, wanted: str) -> Part:
    """A condition."""
    return {"key": in_base64(key), "target": "VALUE", "result": "EQUAL", "value": in_base64(wanted)}


def was_created(key: str, revision: int) -> Part:
    """A condition; revision 0 is that of a key that is not there."""
    return {"key": in_base64(key), "target": "CREATE", "result": "EQUAL", "create_revision": str(revision)}


def has_version(key: str, revision: int) -> Part:
    """A condition: the last change was made by this revision."""
    return {"key": in_base64(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def encoded(device: Device, change: str | None = None) -> str:
    """A device as JSON: all that members share, and none of what changes while it is in.

    `change` is a name of the change that makes it so, by which whoever makes it knows it again.
    """
    key = base64.b64encode(device.certified_key).decode() if device.certified_key else None
    members = {
        "number": device.number,
        "public_key": device.public_key,
        "protocol": device.protocol,
        "certified_key": key,
        "name": device.name,
        "preshared_key": device.preshared_key,
        "created_at": device.created_at,
        "expires_at": device.expires_at,
        "server_key": device.server_key,
        "change": change,
    }
    return json.dumps({name: value for name, value in members.items() if value is not None}, separators=(",", ":"))


def decoded(text: str) -> Device:
    """A device out of JSON. What a later agent has added is passed over; ValueError if it is no device."""
    try:
        members = json.loads(text)
        key = members.get("certified_key")
        return Device(
            number=members["number"],
            public_key=members["public_key"],
            protocol=members["protocol"],
            certified_key=base64.b64decode(key) if key else None,
            name=members.get("name"),
            preshared_key=members.get("preshared_key"),
            created_at=members["created_at"],
            expires_at=members.get("expires_at"),
            server_key=members.get("server_key"),
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"no device: {error!r}") from error


def record(pair: Part) -> Record:
    """A device out of a KeyValue (kv.proto); ValueError if it is none."""
    return Record(decoded(value(pair)), int(pair["create_revision"]), int(pair["mod_revision"]))


def records(pairs: Iterable[Part]) -> list[Record]:
    """The devices out of KeyValues; what somebody else has put there is passed over."""
    found = []
    for pair in pairs:
        try:
            found.append(record(pair))
        except ValueError as error:
            log.warning("etcd's key %s is passed over: %s", in_text(pair["key"]), error)
    return found
