"""Images by digest: what runs is what was looked at, also after somebody moved the tag."""

import re
from collections.abc import Iterator

from policy.declared import DeclaredResource, DeclaredStack, at, containers

_BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")


def images(resource: DeclaredResource, stack: DeclaredStack) -> Iterator[str]:
    """The images that are named by their tag alone. The lab builds its own, and no registry gives them a digest."""
    for container in () if stack.lab else containers(resource):
        image = at(container, "image")
        if isinstance(image, str) and not by_digest(image):
            yield f"image {image} of container {container['name']} has no digest; write {image}@sha256:…"


def by_digest(image: str) -> bool:
    """Whether an image's reference holds its digest."""
    return _BY_DIGEST.fullmatch(image) is not None
