"""Diff: which properties change between the inputs in the state and the program's, and what follows.

The comparison goes path by path and compares lists by position, like the official plugin. A change under one of the
kind's replacing fields replaces the object. So does a field that the API server calls immutable in a dry run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from lab.kubernetes_plugin.names import is_autonamed
from lab.kubernetes_plugin.properties import UNKNOWN, Path, Value, contains_unknown, render_path, reveal


class FieldChange(Enum):
    """What happens to one property."""

    ADD = "ADD"
    DELETE = "DELETE"
    UPDATE = "UPDATE"


@dataclass(frozen=True)
class Difference:
    """The answer to Diff: `changes` by path, the `replaces` among them, and the order of a replacement."""

    changes: Mapping[str, FieldChange]
    replaces: tuple[str, ...] = ()
    delete_before_replace: bool = False


ImmutableFields = Callable[[Mapping[str, Any]], Sequence[str]]
"""Ask the API server which fields ("spec.selector") of the new inputs it refuses to change."""


def diff(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    replacing: Sequence[str],
    immutable: ImmutableFields = lambda _: (),
) -> Difference:
    """Compare old and new inputs; `replacing` are the fields whose change makes a new object.

    The server is asked only when something changes, everything is known and no field replaces anyway.
    """
    before, after = reveal(dict(old)), reveal(dict(new))
    changes = {render_path(path): change for path, change in _changes(before, after, ())}
    if not changes:
        return Difference({})
    replaces = _covered(changes, replacing)
    if not replaces and not contains_unknown(after):
        replaces = _covered(changes, immutable(after))
    return Difference(changes, replaces, bool(replaces) and _keeps_its_name(before, after))


def _changes(old: Value, new: Value, path: Path) -> Iterator[tuple[Path, FieldChange]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _member_changes(key in old, key in new, old.get(key), new.get(key), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            had, has = index < len(old), index < len(new)
            yield from _member_changes(
                had, has, old[index] if had else None, new[index] if has else None, (*path, index)
            )
    elif new is UNKNOWN or old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, FieldChange.UPDATE


def _member_changes(had: bool, has: bool, old: Value, new: Value, path: Path) -> Iterator[tuple[Path, FieldChange]]:
    if had and has:
        yield from _changes(old, new, path)
    else:
        yield path, FieldChange.ADD if has else FieldChange.DELETE


def _covered(changes: Mapping[str, FieldChange], fields: Sequence[str]) -> tuple[str, ...]:
    """Return the changed paths that lie in one of the fields, or hold one of them."""
    return tuple(path for path in changes if any(_within(path, field) or _within(field, path) for field in fields))


def _within(path: str, field: str) -> bool:
    return path == field or path.startswith((f"{field}.", f"{field}["))


def _keeps_its_name(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the two objects cannot exist at the same time: the program gives both one name in one place."""
    before, after = old.get("metadata", {}), new.get("metadata", {})
    same_place = all(before.get(field) == after.get(field) for field in ("name", "namespace"))
    return same_place and "name" in after and not is_autonamed(new)
