"""What a Headscale policy says of a gateway, and whether two policies say the same.

A policy lists what is allowed, in HuJSON: JSON with comments and trailing commas. One that has neither `acls` nor
`grants` allows all. The judgement errs on one side: a rule that might mean the gateway counts as one that does. Such is
a rule for an address, since a gateway has none before it joins.
Source: hscontrol/policy of each version; tests/contract/test_policy.py asks real servers.
"""

import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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

_INTERNET = "autogroup:internet"
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


class _Acl(_Rule):
    action: str = "accept"

    @property
    def destinations(self) -> list[str]:
        """Without their ports."""
        return [destination.rpartition(":")[0].translate(_BRACKETS) for destination in self.dst]


class _Grant(_Rule):
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
    acls: list[_Acl] | None = None
    grants: list[_Grant] | None = None

    @property
    def allows_all(self) -> bool:
        """Whether it has no rules on connections, not even an empty list of them."""
        return self.acls is None and self.grants is None

    @property
    def rules(self) -> list[_Acl | _Grant]:
        """Those that open connections."""
        acls = [acl for acl in self.acls or () if acl.action == "accept"]
        return [*acls, *(grant for grant in self.grants or () if grant.ip)]


@dataclass(frozen=True)
class GatewayNode:
    """A gateway as a policy can name it."""

    name: str
    user: str
    """The Headscale user whose key it joins with. Policies name a node by that only while it has no tags."""
    tags: tuple[str, ...] = ()
    adopted: bool = False
    """Whether the user may have been there before, and so may have an address by which a policy names it, too."""

    @property
    def alias(self) -> str:
        """The name that a rule for it would have."""
        return self.tags[0] if self.tags else f"{self.user}@"

    @property
    def own_aliases(self) -> frozenset[str]:
        """The names that are no other node's: an adopted user has nodes of its own."""
        users = frozenset() if self.adopted else frozenset({self.user, f"{self.user}@"})
        return frozenset(self.tags) or users


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


def complaints(policy: Policy, gateway: GatewayNode, *, tags_need_owners: bool) -> Iterator[str]:
    """One sentence on each way in which the policy shuts the gateway out; none where it may not.

    From 0.28 on a node is given another tag only if the policy knows the tag (`tags_need_owners`).
    """
    unowned = [tag for tag in gateway.tags if tag not in policy.tag_owners]
    if unowned and tags_need_owners:
        yield (
            f"Headscale's policy does not know {', '.join(unowned)} of gateway {gateway.name}: without an entry in "
            "`tagOwners`, such as an empty list, no rule can name it, and no node can be given it later."
        )
    if sentence := shut_out(policy, gateway):
        yield sentence
    if not policy.allows_all and not any(_opens_exit(policy, rule, gateway) for rule in policy.rules):
        yield (
            f"Headscale's policy lets nobody in the mesh use gateway {gateway.name} as exit node: for that `acls` "
            f"lacks a rule to {_INTERNET}:*; the gateway's own clients need none."
        )


def shut_out(policy: Policy, gateway: GatewayNode) -> str:
    """The sentence on a policy by which no client of the gateway reaches any node; empty where one may."""
    if policy.allows_all or any(_reaches_mesh(policy, rule, gateway) for rule in policy.rules):
        return ""
    rule = json.dumps({"action": "accept", "src": [gateway.alias], "dst": ["*:*"]})
    return (
        f"Headscale's policy lets gateway {gateway.name} reach nothing in the mesh, and so none of its clients: "
        f"`acls` lacks a rule for it, such as {rule}."
    )


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


def _reaches_mesh(policy: Policy, rule: _Acl | _Grant, gateway: GatewayNode) -> bool:
    """Whether the rule may let the gateway reach some node."""
    # A user's nodes reach each other by autogroup:self; a tagged one is no user's.
    beyond = {_INTERNET, *(["autogroup:self"] if gateway.tags else [])}
    return any(_may_be(policy, gateway, source) for source in rule.src) and bool(set(rule.destinations) - beyond)


def _opens_exit(policy: Policy, rule: _Acl | _Grant, gateway: GatewayNode) -> bool:
    """Whether the rule may let somebody else reach the Internet through the gateway."""
    if isinstance(rule, _Grant) and rule.via and not set(rule.via) & set(gateway.tags):
        return False  # it leads through others
    others = set(rule.src) - gateway.own_aliases
    return bool(others) and any(_holds_internet(policy, destination) for destination in rule.destinations)


def _may_be(policy: Policy, gateway: GatewayNode, alias: str) -> bool:
    if alias in {"*", "autogroup:danger-all"}:
        return True
    if alias.startswith("tag:"):
        return alias in gateway.tags
    if alias == "autogroup:tagged":
        return bool(gateway.tags)
    if alias.startswith("group:"):
        return any(_is_user(gateway, member) for member in policy.groups.get(alias, ()))
    if alias.startswith("autogroup:"):
        return not gateway.tags  # they are of users' nodes
    return _network(policy, alias) is not None or _is_user(gateway, alias)


def _is_user(gateway: GatewayNode, alias: str) -> bool:
    """Up to 0.25 a user stands in a policy by the bare name, from 0.26 on with an @ behind it."""
    name = alias.removesuffix("@")
    return not gateway.tags and (name == gateway.user or (gateway.adopted and "@" in name))


def _holds_internet(policy: Policy, alias: str) -> bool:
    if alias in {"*", _INTERNET}:
        return True
    network = _network(policy, alias)
    return network is not None and network.prefixlen <= 1  # halves are written as two


def _network(policy: Policy, alias: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """What an alias stands for that is an address, a network or a host of the policy."""
    try:
        return ipaddress.ip_network(policy.hosts.get(alias, alias), strict=False)
    except ValueError:
        return None
