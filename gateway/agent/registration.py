"""What a device that asks to come in says of itself, and what becomes of it."""

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from gateway.agent.store import Device, ProtocolName

Value = TypeVar("Value")


class Left(Enum):
    """What a registration does not name stays as it is; a new device has none of it."""

    AS_IT_IS = "as it is"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A device that asks to come in. A field that is None is unset."""

    public_key: str
    protocol: ProtocolName = "wireguard"
    certified_key: bytes | None = None
    name: str | Left | None = Left.AS_IT_IS
    ttl_seconds: int | Left | None = Left.AS_IT_IS
    preshared_key: str | Left | None = field(default=Left.AS_IT_IS, repr=False)


@dataclass(frozen=True)
class Admission:
    """A registered device: whether it was unknown before, and whether it is in already."""

    device: Device
    is_new: bool
    is_in: bool


def given(value: Value | Left, otherwise: Value) -> Value:
    """The value, if it was given."""
    return otherwise if isinstance(value, Left) else value
