"""What `pulumi destroy` would lose of a protected stack, and how to mean it. The engine names only the first.

pulumi stack export | python -m policy.kept
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from infra.protection import KEPT
from policy.declared import DeclaredResource


def kept(export: Mapping[str, Any]) -> Iterator[DeclaredResource]:
    """The resources of a stack's state that the engine will not let go."""
    for state in (export.get("deployment") or {}).get("resources") or []:
        if state.get("protect"):
            yield DeclaredResource(state["urn"], state["type"], state.get("inputs") or {}, protect=True)


def refusal(resources: list[DeclaredResource]) -> str:
    """What to tell somebody who is about to destroy them."""
    lost = (
        f"  {one.type.rpartition(':')[2]} {one.name}: {KEPT.get(one.type, 'protected by hand')}" for one in resources
    )
    return "\n".join(
        (
            "`pulumi destroy` is refused. It would lose for good:",
            *lost,
            "To mean it: `pulumi config set protect false`, `pulumi up`, then `pulumi destroy`.",
            f"To let go of one alone: `pulumi state unprotect '{resources[0].urn}'`.",
        )
    )


def main() -> None:
    """Look at the state on standard input."""
    try:
        export = json.load(sys.stdin)
    except ValueError:
        sys.exit("There is no state on standard input; give it what `pulumi stack export` prints.")
    if found := list(kept(export)):
        sys.exit(refusal(found))


if __name__ == "__main__":
    main()
