"""The command `ip`, which makes and shows the lab's network."""

import json
from typing import Any

from console.errors import StepError
from console.run import capture


def run(lines: str, namespace: str | None = None) -> None:
    """Run `ip` once for each line, in a namespace if one is named."""
    where = ["-netns", namespace] if namespace else []
    for line in filter(None, map(str.split, lines.splitlines())):
        capture(["ip", *where, *line], doing="make the lab's network")


def listed(*arguments: str) -> list[Any]:
    """Return what `ip -json` lists."""
    found: list[Any] = json.loads(capture(["ip", "-json", *arguments], doing="read the lab's network") or "[]")
    return found


def delete_link(name: str, namespace: str | None = None) -> None:
    """Delete an interface, which frees its name at once; nothing happens when there is none.

    A deleted namespace lingers and takes the ends of its pairs with it at any moment, also while they are deleted.
    """
    try:
        run(f"link delete {name}", namespace)
    except StepError:
        if name in links(namespace):
            raise


def addresses(namespace: str) -> set[str]:
    """Return all addresses in a namespace."""
    return {
        address["local"]
        for link in listed("-netns", namespace, "address", "show")
        for address in link.get("addr_info", [])
        if "local" in address
    }


def links(namespace: str | None = None) -> set[str]:
    """Return the names of the interfaces there."""
    where = ["-netns", namespace] if namespace else []
    return {link["ifname"] for link in listed(*where, "link", "show")}
