"""Devices expire: whoever registered with a `ttl_seconds` is shut out when that time is over."""

import asyncio
import logging

from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.store import StoreError

log = logging.getLogger(__name__)

EXPIRE_EVERY_S = 1.0


async def expire(devices: Devices) -> None:
    """Shut devices out when their time is over, until cancelled."""
    while True:
        try:
            await devices.expire()
        except (CommandError, StoreError) as error:
            log.warning("expired devices stay for now: %s", error)
        await asyncio.sleep(EXPIRE_EVERY_S)
