"""What a stack cannot have again is not replaced or deleted, unless its own settings say so.

CrossGuard asks about what a stack declares, never about what it takes away. So the rule is that the engine protects
these resources: it then refuses by itself, in preview already. `protect: true` turns that on. `protect: false`, written
into the stack, is the allowance. The steps of a preview do show replacements and deletions. They are looked at as well,
since they may be of resources that are not protected yet.
"""

from collections.abc import Iterator

from infra.protection import KEPT
from policy.declared import DeclaredResource, DeclaredStack

LOSING = frozenset({"delete", "replace", "delete-replaced", "create-replacement"})
"""Operations of the engine that end a resource."""


def unprotected(resource: DeclaredResource, stack: DeclaredStack) -> Iterator[str]:
    """A resource that cannot be had again, if the engine would let it go."""
    if resource.type in KEPT and not resource.protect and not _may_lose(stack):
        yield (
            f"it is {KEPT[resource.type]}. Nothing keeps it from being replaced or deleted: set `protect: true`, or "
            "`protect: false` to allow that."
        )


def lost(operation: str, resource: DeclaredResource, stack: DeclaredStack) -> Iterator[str]:
    """A resource that cannot be had again, if a step of a preview ends it."""
    if operation in LOSING and resource.type in KEPT and not _may_lose(stack):
        what = "deleted" if operation == "delete" else "replaced"
        yield f"it would be {what}. It is {KEPT[resource.type]}. Set `protect: false` to allow that."


def _may_lose(stack: DeclaredStack) -> bool:
    return stack.lab or stack.protect is False
