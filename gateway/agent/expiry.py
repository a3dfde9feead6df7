"""Devices expire: whoever registered with a `ttl_seconds` is shut out when that time is over.

What a revocation could not do at once is done here too, as soon as it can be.
"""

import asyncio
import logging

from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.store import StoreError

log = logging.getLogger(__name__)

EXPIRE_EVERY_S = 1.0


async def expire(devices: Devices) -> None:
    """Shut devices out when their time is over, until cancelled."""
    trouble = None
    while True:
        try:
            await devices.expire()
            trouble = None
        except (CommandError, StoreError) as error:
            if str(error) != trouble:
                log.warning("devices whose time is over stay for now: %s", error)
            trouble = str(error)
        await asyncio.sleep(EXPIRE_EVERY_S)
