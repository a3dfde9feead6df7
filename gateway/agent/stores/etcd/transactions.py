"""Transactions of etcd, and reads of all that is below a prefix."""

import json
from collections.abc import Sequence, Set
from dataclasses import dataclass

from gateway.agent.stores.etcd.client import Etcd
from gateway.agent.stores.etcd.records import (
    Names,
    Part,
    Record,
    below,
    get,
    has_value,
    in_base64,
    in_text,
    records,
    value,
)

TXN = "/v3/kv/txn"
_RANGE = "/v3/kv/range"
PAGE = 5000
"""Keys in one answer: about 4 MiB of devices."""


@dataclass(frozen=True)
class Outcome:
    """What became of a transaction."""

    succeeded: bool
    revision: int
    identity: str | None
    """If it did not succeed: whose devices these are."""
    found: dict[str, Part]
    """If it did not succeed: what there is of the keys that were asked for, as KeyValues by their keys."""


@dataclass(frozen=True)
class Listing:
    """What etcd has, as of one revision."""

    revision: int
    identity: str | None
    newest: int
    networks: frozenset[str]
    changed: list[Record]
    """Devices whose last change is later than the revision that was asked for."""
    public_keys: Set[str] | None
    """All devices'; None if nobody is gone."""


def request(names: Names, identity: str, conditions: Sequence[Part], do: Sequence[Part], asked: Sequence[str]) -> Part:
    """A transaction of devices that have this identity. If a condition does not hold, the keys `asked` are read."""
    return {
        "compare": [has_value(names.identity, identity), *conditions],
        "success": list(do),
        "failure": [get(key) for key in (names.identity, *asked)],
    }


def outcome(answer: Part, names: Names) -> Outcome:
    """Of a TxnResponse to a `request`."""
    ranges = (one.get("response_range", {}) for one in answer.get("responses", ()))
    pairs = {in_text(pair["key"]): pair for found in ranges for pair in found.get("kvs", ())}
    own = pairs.get(names.identity)
    identity = value(own) if own else None
    return Outcome(bool(answer.get("succeeded")), int(answer["header"]["revision"]), identity, pairs)


def identity(etcd: Etcd, names: Names) -> str | None:
    """Whose devices these are."""
    pairs = etcd.call(_RANGE, {"key": in_base64(names.identity)}).get("kvs")
    return value(pairs[0]) if pairs else None


def listing(etcd: Etcd, names: Names, after: int, known: Set[str] | None = None) -> Listing:
    """What has changed after a revision; everything, if etcd has gone back behind it.

    `known` are the keys of devices that were there then, or have come since. Without them all keys are asked for.
    """
    answer = etcd.call(_RANGE, below(names.state))
    revision = int(answer["header"]["revision"])
    state = {in_text(pair["key"]): value(pair) for pair in answer.get("kvs", ())}
    networks = frozenset(json.loads(state.get(names.networks, "[]")))
    told = (revision, state.get(names.identity), int(state.get(names.newest, 0)), networks)
    since = after + 1 if after <= revision else 0
    at = {"revision": str(revision)}
    changed = records(_pages(etcd, names.devices, {**at, "min_mod_revision": str(since)}))
    if known is not None:
        count = etcd.call(_RANGE, {**below(names.devices), **at, "count_only": True}).get("count", 0)
        if int(count) == len(known | {one.device.public_key for one in changed}):
            return Listing(*told, changed, None)
    everyone = _pages(etcd, names.devices, {**at, "keys_only": True})
    keys = {in_text(pair["key"]).removeprefix(names.devices) for pair in everyone}
    return Listing(*told, changed, keys)


def _pages(etcd: Etcd, prefix: str, how: Part) -> list[Part]:
    """The KeyValues below a prefix, page by page."""
    pairs: list[Part] = []
    wanted = {**below(prefix), **how, "limit": str(PAGE)}
    while True:
        answer = etcd.call(_RANGE, wanted)
        pairs += answer.get("kvs", ())
        if not answer.get("more"):
            return pairs
        wanted["key"] = in_base64(in_text(pairs[-1]["key"]) + "\0")
