"""Warns, in each preview, before the API key of an existing server ends: nobody renews that one but the user.

The program asks, as it waits for the engine's plugins anyway and has the settings. Refresh and destroy do not ask.
"""

from datetime import UTC, datetime, timedelta

import pulumi

from gateway.headscale.errors import HeadscaleError, UnauthorizedError
from infra.hook_threads import in_thread
from infra.resources.base import sentence
from infra.resources.connections import Connections
from infra.settings.stack import StackSettings

WARNED_DAYS = 14


def warn(settings: StackSettings) -> None:
    """A warning when the stack's key ends within WARNED_DAYS, or works no more. Nothing else comes of it."""
    if settings.headscale and not settings.headscale.managed:
        found: pulumi.Output[str] = pulumi.Output.from_input(in_thread(problem, Connections(lambda: settings)))
        found.apply(lambda text: pulumi.log.warn(text) if text else None)


def problem(connections: Connections) -> str:
    """The sentence on the key of an existing server; empty where it is good for a while.

    The server is asked once. If it does not answer, whoever needs it will say so.
    """
    try:
        with connections.headscale() as headscale:
            key = headscale.own_api_key(once=True)
    except UnauthorizedError as error:
        return sentence(connections, error)
    except HeadscaleError:
        return ""
    end = key.expiration if key else None
    if end is None or end - datetime.now(UTC) >= timedelta(days=WARNED_DAYS):
        return ""
    return f"The API key for Headscale at {headscale.url} ends on {end:%Y-%m-%d %H:%M} UTC. {connections.new_key}"
