"""What a stack cannot have again is not replaced or deleted, unless its own settings say so.

CrossGuard asks about what a stack declares, never about what it takes away. So the rule is that the engine protects
these resources: it then refuses by itself, in preview already. The setting `protect` turns that on; `protect: false`,
written into the stack, is the allowance. Steps of a preview, which do show replacements and deletions, are looked at
as well: they may be of resources that are not protected yet.
"""

from collections.abc import Iterator

from infra.protection import KEPT
from policy.declared import Resource, Stack

LOSING = frozenset({"delete", "replace", "delete-replaced", "create-replacement"})
"""Operations of the engine that end a resource."""


def unprotected(resource: Resource, stack: Stack) -> Iterator[str]:
    """Such a resource that the engine would let go."""
    if resource.type in KEPT and not resource.protect and not _may_lose(stack):
        yield (
            f"it is {KEPT[resource.type]}. Nothing keeps it from being replaced or deleted: set `protect: true`, or "
            "`protect: false` to allow that."
        )


def lost(operation: str, resource: Resource, stack: Stack) -> Iterator[str]:
    """Such a resource that a step of a preview ends."""
    if operation in LOSING and resource.type in KEPT and not _may_lose(stack):
        what = "deleted" if operation == "delete" else "replaced"
        yield f"it would be {what}. It is {KEPT[resource.type]}. Set `protect: false` to allow that."


def _may_lose(stack: Stack) -> bool:
    return stack.lab or stack.protect is False
