"""Every rule, with the name by which it is reported and found in docs/policies.md."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from policy.declared import DeclaredResource, DeclaredStack
from policy.endpoints import endpoints
from policy.images import images
from policy.losses import unprotected
from policy.networks import networks
from policy.plain_secrets import plain_secrets
from policy.privileges import privileges


@dataclass(frozen=True)
class ResourceRule:
    """A rule for one resource at a time; `check` yields a sentence for each way in which it is broken."""

    name: str
    description: str
    check: Callable[[DeclaredResource, DeclaredStack], Iterator[str]]


@dataclass(frozen=True)
class StackRule:
    """A rule for all resources together; `check` names the resource with each sentence."""

    name: str
    description: str
    check: Callable[[Sequence[DeclaredResource], DeclaredStack], Iterator[tuple[DeclaredResource, str]]]


RESOURCE_RULES = (
    ResourceRule("nothing-privileged", "A pod has no privilege but the capability NET_ADMIN.", privileges),
    ResourceRule("no-plain-secret", "No secret stands in an environment, a command or a ConfigMap.", plain_secrets),
    ResourceRule("image-by-digest", "Outside the lab an image is named by its digest.", images),
    ResourceRule("endpoint-set", "A gateway's key goes with the endpoint that clients dial.", endpoints),
    ResourceRule("nothing-lost", "What cannot be had again is protected, or the stack says otherwise.", unprotected),
)
STACK_RULES = (StackRule("networks-apart", "Client networks are outside the mesh and of one gateway each.", networks),)
