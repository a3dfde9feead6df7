"""The mesh: Headscale itself, and the key service by which users' devices join."""

from collections.abc import Iterator

from infra.components.key_service import NAME
from infra.settings.headscale import HeadscaleSettings
from verify.inside import Program
from verify.parts import Part, judged
from verify.stack import RunningStack


def server_parts(stack: RunningStack, server: HeadscaleSettings) -> Iterator[Part]:
    """Whether Headscale answers from here, where devices dial it, and to the stack's API key."""
    yield judged(f"Headscale {server.url}, from here", lambda: _answers(stack))


def key_service_parts(stack: RunningStack) -> Iterator[Part]:
    """Whether a device can be given a key. It joins at the URL of the part before."""
    keys = Program(stack.connections.cluster, stack.settings.namespace, NAME, "keys")
    yield judged(f"Deployment {stack.settings.namespace}/{NAME}", keys.rolled_out)
    yield judged("readiness", keys.ready)


def _answers(stack: RunningStack) -> str:
    with stack.connections.headscale() as headscale:
        headscale.noise_key()
        headscale.api_keys()
    return ""
