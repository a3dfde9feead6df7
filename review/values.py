"""Property values as a review shows them: JSON with marks in the place of secrets and of unknown values."""

import json
import re
from collections.abc import Iterator, Sequence
from enum import Enum

from gateway.headscale.redaction import redact

Path = tuple[str | int, ...]
"""Where a value is in a resource, such as ("spec", "ports", 0, "port")."""

SHOWN_CHARACTERS, PATH_CHARACTERS = 300, 200


class Mark(Enum):
    """What stands in the place of a value."""

    SECRET = "[secret]"  # noqa: S105 (what is shown instead of one)
    UNKNOWN = "[known after up]"
    MISSING = ""
    """There is no value."""


_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
"""Key and value by which Pulumi marks an object that stands for a secret (sdk/go/common/resource/sig)."""
_UNKNOWN = {
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # a boolean
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # a number
    "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # a string
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # an array
    "030794c1-ac77-496b-92df-f27374a8bd58",  # an asset
    "e48ece36-62e2-4504-bad9-02848725956a",  # an archive
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # an object
}
"""What stands for a value that only `up` will tell, by its type (sdk/go/common/resource/plugin/rpc.go)."""


def plain(value: object) -> object:
    """A value of the engine's events with marks for what is secret or unknown."""
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return Mark.SECRET
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if value == Mark.SECRET.value:
        return Mark.SECRET
    return Mark.UNKNOWN if isinstance(value, str) and value in _UNKNOWN else value


def parse(path: str) -> Path:
    """A path as providers write it: `spec.ports[0].port`, `metadata.labels["app.kubernetes.io/name"]`."""
    parts = re.findall(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[]+)', path)
    return tuple(int(index) if index else re.sub(r"\\(.)", r"\1", quoted) or name for quoted, index, name in parts)


def at(value: object, path: Path) -> object:
    """The value at a path; MISSING when there is none, SECRET inside of a secret."""
    for part in path:
        match value, part:
            case Mark(), _:
                return value
            case dict(), _ if part in value:
                value = value[part]
            case list(), int() if part < len(value):
                value = value[part]
            case _:
                return Mark.MISSING
    return value


def differences(old: object, new: object, path: Path = ()) -> Iterator[tuple[Path, object, object]]:
    """Where two values differ, leaf by leaf; lists of plain values are leaves."""
    match old, new:
        case (dict(), dict() | Mark.MISSING) | (Mark.MISSING, dict()):
            names = sorted({name for one in (old, new) if isinstance(one, dict) for name in one})
            for name in names:
                yield from differences(at(old, (name,)), at(new, (name,)), (*path, name))
        case (list(), list() | Mark.MISSING) | (Mark.MISSING, list()) if _has_parts(old) or _has_parts(new):
            length = max(len(one) for one in (old, new) if isinstance(one, list))
            for index in range(length):
                yield from differences(at(old, (index,)), at(new, (index,)), (*path, index))
        case _ if old != new:
            yield path, old, new


def _has_parts(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(element, dict) for element in value)


def written(path: Path, *within: object) -> str:
    """A path for people. Elements of a list go by their name, if they have one in a value that the path leads into."""
    text = ""
    for depth, part in enumerate(path):
        if isinstance(part, int):
            text += f"[{_name(path[: depth + 1], within) or part}]"
        elif re.fullmatch(r"[\w/-]+", part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
    return cut(printable(text), PATH_CHARACTERS)


def _name(path: Path, within: Sequence[object]) -> str | None:
    elements = [at(value, path) for value in within]
    return next((str(one["name"]) for one in elements if isinstance(one, dict) and one.get("name")), None)


def shown(value: object, characters: int = SHOWN_CHARACTERS) -> str:
    """A value on one line, cut when it is long."""
    if isinstance(value, Mark):
        return value.value
    return cut(printable(json.dumps(value, ensure_ascii=False, sort_keys=True, default=_mark)), characters)


def _mark(value: object) -> str:
    return value.value if isinstance(value, Mark) else str(value)


def cut(text: str, characters: int) -> str:
    """A text cut after so many characters, with the length of the whole."""
    return text if len(text) <= characters else f"{text[:characters]}… ({len(text):,} characters)"


def printable(text: str) -> str:
    """A text on one line, without keys and without invisible characters, such as those that turn the writing around."""
    text = redact(text)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)
