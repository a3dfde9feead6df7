"""What an environment must say although the setting has a default. The rules ask for it (docs/policies.md)."""

from collections.abc import Iterator

from environments.answers import AnswerError
from infra.settings.gateway import GatewaySettings
from infra.settings.headscale import HeadscaleSettings
from infra.settings.stack import StackSettings
from policy.images import by_digest

TAILSCALE: str = GatewaySettings.model_fields["tailscale_image"].default
HEADSCALE: str = HeadscaleSettings.model_fields["image"].default


def refuse_missing(settings: StackSettings) -> None:
    """Raise AnswerError, with every sentence, for what the rules would refuse of a stack with these settings."""
    if missing := list(_missing(settings)):
        raise AnswerError("\n".join(missing))


def refuse_tag(image: str) -> None:
    """Raise AnswerError for an image without a digest."""
    if not by_digest(image):
        raise AnswerError(f"{image} is no image by digest; write NAME@sha256:… with the 64 digits of its digest.")


def with_digest(image: str, answer: str) -> str:
    """The image that an answer means: this one, if the answer is a digest alone, else the answer itself."""
    return f"{image}@{answer}" if answer.startswith("sha256:") else answer


def _missing(settings: StackSettings) -> Iterator[str]:
    if settings.protect is None:
        yield (
            "meshgate:protect: it is missing; write true to have Pulumi keep what cannot be had again (keys, nodes, "
            "volumes), or false if all of it may be lost."
        )
    server = settings.headscale
    if server and server.managed and not by_digest(server.image):
        yield f"meshgate:headscale.image: {_right(server.image, 'pull')}"
    for index, gateway in enumerate(settings.gateways):
        if gateway.target != "kubernetes":
            continue
        where = f"meshgate:gateways[{index}]"
        if not by_digest(gateway.image):
            yield f"{where}.image: {_right(gateway.image, 'push')}"
        if settings.mesh(gateway) and not by_digest(gateway.tailscale_image):
            yield f"{where}.tailscale_image: {_right(gateway.tailscale_image, 'pull')}"


def _right(image: str, command: str) -> str:
    return f"{image} has no digest; write {image}@sha256:…, as `docker {command}` prints it."
