"""Pulumi properties: protobuf on the wire, plain Python (dict, list, str, …) inside.

JSON cannot say two things, so they have types: `Secret(value)` is a value that must be encrypted in the
state, and `UNKNOWN` is a value that a preview does not know yet. The 32-digit keys are Pulumi's
wire format (sdk/go/common/resource/plugin/rpc.go).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from google.protobuf import struct_pb2

Value = Any
"""A property's value: None, bool, int, float, str, list, dict, `Secret` or `UNKNOWN`."""

Properties = dict[str, Value]
"""An object's properties by name."""

Path = tuple[str | int, ...]
"""Where a property is: member names and list positions."""

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 (a marker, not a secret)
_UNKNOWN_VALUES = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # string
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
_UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Unknown(Enum):
    """The type of `UNKNOWN`."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
"""A value that is only known after `pulumi up` has made what it depends on."""


@dataclass(frozen=True)
class Secret:
    """A value that Pulumi encrypts in its state and hides in its output; never in our own text either."""

    value: Any = field(repr=False)


def from_struct(struct: struct_pb2.Struct) -> Properties:
    """Read a message's properties; null members are left out, whole numbers become int."""
    return _members(struct)


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Write properties, secrets and unknowns in Pulumi's wire format."""
    return struct_pb2.Struct(fields={key: _to_value(value) for key, value in properties.items()})


def reveal(value: Value) -> Value:
    """Return a deep copy without `Secret` wrappers, for the API server's eyes only."""
    match value:
        case Secret():
            return reveal(value.value)
        case dict():
            return {key: reveal(member) for key, member in value.items()}
        case list():
            return [reveal(item) for item in value]
        case _:
            return value


def contains_unknown(value: Value) -> bool:
    """Whether any part of the value is not known yet."""
    return _any(value, lambda part: part is UNKNOWN)


def contains_secret(value: Value) -> bool:
    """Whether any part of the value is marked secret."""
    return _any(value, lambda part: isinstance(part, Secret))


def redact(text: str, value: Value) -> str:
    """Return `text` with every secret string of `value` that it quotes replaced by "[secret]"."""
    for secret in sorted(_secret_strings(value, within=False), key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return text


def mark_secrets(outputs: Properties, inputs: Mapping[str, Any]) -> Properties:
    """Return `outputs` with everything marked secret that is secret in `inputs`.

    Objects are followed member by member; a list that holds a secret is secret as a whole, because
    the server may order or extend lists.
    """
    marked = dict(outputs)
    for key, given in inputs.items():
        if key not in marked or not contains_secret(given):
            continue
        answered = marked[key]
        if isinstance(given, dict) and isinstance(answered, dict):
            marked[key] = mark_secrets(answered, given)
        elif not isinstance(answered, Secret):
            marked[key] = Secret(answered)
    return marked


def render_path(path: Path) -> str:
    """Write a path as Pulumi does: `spec.ports[0].port`, `metadata.labels["a.b/c"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part and not set(part) & set('.["]'):
            text += f".{part}" if text else part
        else:
            text += f'["{part.replace(chr(34), chr(92) + chr(34))}"]'
    return text


def _secret_strings(value: Value, *, within: bool) -> Iterator[str]:
    """Yield the (non-empty) strings of a value that are, or lie within, a secret."""
    match value:
        case Secret():
            yield from _secret_strings(value.value, within=True)
        case dict():
            for member in value.values():
                yield from _secret_strings(member, within=within)
        case list():
            for item in value:
                yield from _secret_strings(item, within=within)
        case str() if within and value:
            yield value


def _any(value: Value, matches: Callable[[Value], bool]) -> bool:
    if matches(value):
        return True
    match value:
        case Secret():
            return _any(value.value, matches)
        case dict():
            return any(_any(member, matches) for member in value.values())
        case list():
            return any(_any(item, matches) for item in value)
        case _:
            return False


def _members(struct: struct_pb2.Struct) -> Properties:
    pairs = ((key, _from_value(value)) for key, value in struct.fields.items())
    return {key: value for key, value in pairs if value is not None}


def _from_value(value: struct_pb2.Value) -> Value:
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value in _UNKNOWN_VALUES else value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_from_value(item) for item in value.list_value.values]
        case "struct_value":
            members = _members(value.struct_value)
            return Secret(members.get("value")) if members.get(_SIGNATURE) == _SECRET_SIGNATURE else members
        case _:
            return None


def _to_value(value: Value) -> struct_pb2.Value:
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case int() | float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case Unknown():
            return struct_pb2.Value(string_value=_UNKNOWN_STRING)
        case Secret():
            return struct_pb2.Value(struct_value=to_struct({_SIGNATURE: _SECRET_SIGNATURE, "value": value.value}))
        case dict():
            return struct_pb2.Value(struct_value=to_struct(value))
        case list():
            return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_to_value(item) for item in value]))
        case _:
            raise TypeError(f"Pulumi has no property of type {type(value).__name__}.")
