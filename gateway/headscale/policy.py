"""A Headscale policy: read, and whether two policies say the same.

A policy lists what is allowed, in HuJSON: JSON with comments and trailing commas. One that has neither `acls` nor
`grants` allows all. What it says of a gateway is judged in policy_reach.py.
Source: hscontrol/policy of each version; tests/contract/test_policy.py asks real servers.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale

Document = dict[str, Any]

ALLOW_ALL = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
"""What says the same as no policy. Headscale can replace a policy, and not take it away."""

SECTIONS = (
    *("acls", "autoApprovers", "grants", "groups", "hosts", "nodeAttrs", "randomizeClientPort", "ssh", "sshTests"),
    *("tagOwners", "tests"),
)
"""What Headscale knows of a policy. Before 0.27 it passes over what it does not know, such as `acl`."""

_BRACKETS = str.maketrans("", "", "[]")
_ORDERED = frozenset({"ssh", "app"})
"""Where the order of a list counts: the first rule for SSH that fits wins, and Headscale does not read `app`."""


class PolicyError(ValueError):
    """What cannot be a policy: a clause for the user."""


class _Part(BaseModel):
    """Headscale takes names in capitals, too. What is not read here is Headscale's to judge."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _usual_names(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            return given
        usual = {alias.lower(): alias for name, field in cls.model_fields.items() if (alias := field.alias or name)}
        return {usual.get(str(name).lower(), name): value for name, value in given.items() if value is not None}


class _Rule(_Part):
    src: list[str] = []
    dst: list[str] = []


class Acl(_Rule):
    """A rule of `acls`."""

    action: str = "accept"

    @property
    def destinations(self) -> list[str]:
        """Without their ports."""
        return [destination.rpartition(":")[0].translate(_BRACKETS) for destination in self.dst]


class Grant(_Rule):
    """A rule of `grants`."""

    ip: list[str] = []
    """None of a grant that opens no connection, such as one for an app's own rights."""
    via: list[str] = []

    @property
    def destinations(self) -> list[str]:
        """As they are: a grant has its ports elsewhere."""
        return self.dst


class Policy(_Part):
    """What is read of a policy: the rules on connections, and what its names stand for."""

    groups: dict[str, list[str]] = {}
    hosts: dict[str, str] = {}
    tag_owners: Annotated[dict[str, list[str]], Field(alias="tagOwners")] = {}
    acls: list[Acl] | None = None
    grants: list[Grant] | None = None

    @property
    def allows_all(self) -> bool:
        """Whether it has no rules on connections, not even an empty list of them."""
        return self.acls is None and self.grants is None

    @property
    def rules(self) -> list[Acl | Grant]:
        """Those that open connections."""
        acls = [acl for acl in self.acls or () if acl.action == "accept"]
        return [*acls, *(grant for grant in self.grants or () if grant.ip)]


def document(given: object) -> Document:
    """A policy from HuJSON text, or as it is; raises PolicyError."""
    found = _from_text(given) if isinstance(given, str) else given
    if not isinstance(found, dict):
        raise PolicyError("it is not a policy: give an object, or HuJSON text of one, with `acls` or `grants`")
    return found


def declared(given: object) -> Document:
    """A policy that is to be set, by its form alone; raises PolicyError."""
    found = document(given)
    known = {name.lower() for name in SECTIONS}
    if unknown := [name for name in found if str(name).lower() not in known]:
        raise PolicyError(f"Headscale's policies have no section {unknown[0]}; they have {', '.join(SECTIONS)}")
    read(found)
    return found


def read(given: Document) -> Policy:
    """What is judged of a policy; raises PolicyError when it is not in a policy's form."""
    try:
        return Policy.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise PolicyError(f"{place.lstrip('.')} cannot be used: {first['msg']}") from None


def of_server(headscale: "Headscale") -> Policy | None:
    """What the server goes by; None where it has no policy, or one that is not understood here."""
    stored = headscale.policy()
    try:
        return read(document(stored.text)) if stored else None
    except PolicyError:
        return None


def same(one: Document, other: Document) -> bool:
    """Whether two policies say the same: names have no order, and rules that allow have none either."""
    return _meaning(one) == _meaning(other)


def _from_text(text: str) -> object:
    import jsonc  # most stacks have no such text

    try:
        return jsonc.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        # The library has taken the comments out before, so that line numbers would be wrong.
        near = " ".join(error.doc[max(error.pos - 20, 0) : error.pos + 20].split())
        raise PolicyError(f"it is not HuJSON: {error.msg} near `{near}`") from None


def _without_repeats(pairs: list[tuple[str, object]]) -> Document:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise PolicyError(f"it has {repeated} twice in one object; only one of them would count")
    return found


def _meaning(value: object, *, ordered: bool = False) -> object:
    """The value with everything sorted that has no order."""
    if isinstance(value, dict):
        return {name: _meaning(inner, ordered=ordered or name in _ORDERED) for name, inner in value.items()}
    if isinstance(value, list):
        items = [_meaning(item, ordered=ordered) for item in value]
        return items if ordered else sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return value
