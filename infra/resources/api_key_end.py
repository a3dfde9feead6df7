"""Warns before the API key of an existing server ends: nobody renews that one but the user."""

from datetime import UTC, datetime, timedelta
from functools import cache

from gateway.headscale.errors import HeadscaleError, UnauthorizedError
from infra.resources.base import log, sentence
from infra.resources.connections import Connections

WARNED_DAYS = 14


def warn(connections: Connections) -> None:
    """A warning when the stack's key ends within WARNED_DAYS, or works no more. Nothing else comes of it.

    The server is asked once. If it does not answer, whoever needs it will say so.
    """
    try:
        with connections.headscale() as headscale:
            key = headscale.own_api_key(once=True)
    except UnauthorizedError as error:
        _tell(sentence(connections, error))
    except HeadscaleError:
        pass
    else:
        end = key.expiration if key else None
        if end and end - datetime.now(UTC) < timedelta(days=WARNED_DAYS):
            _tell(
                f"The API key for Headscale at {headscale.url} ends on {end:%Y-%m-%d %H:%M} UTC. {connections.new_key}"
            )


@cache
def _tell(warning: str) -> None:
    """Once a run: a stack whose devices join the mesh has two users, and each looks."""
    log.warning("%s", warning)
