"""What a Headscale policy lets a gateway reach, and lets others reach through it.

The judgement errs on one side: a rule that might mean the gateway counts as one that does. Such is a rule for an
address, since a gateway has none before it joins.
Source: hscontrol/policy of each version; tests/contract/test_policy.py asks real servers.
"""

import ipaddress
import json
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.headscale.policy import Acl, Grant, Policy

_INTERNET = "autogroup:internet"


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


def _reaches_mesh(policy: Policy, rule: Acl | Grant, gateway: GatewayNode) -> bool:
    """Whether the rule may let the gateway reach some node."""
    # A user's nodes reach each other by autogroup:self; a tagged one is no user's.
    beyond = {_INTERNET, *(["autogroup:self"] if gateway.tags else [])}
    return any(_may_be(policy, gateway, source) for source in rule.src) and bool(set(rule.destinations) - beyond)


def _opens_exit(policy: Policy, rule: Acl | Grant, gateway: GatewayNode) -> bool:
    """Whether the rule may let somebody else reach the Internet through the gateway."""
    if isinstance(rule, Grant) and rule.via and not set(rule.via) & set(gateway.tags):
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
