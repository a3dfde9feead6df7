"""How each of the gateway's programs ends: what it says in its log, and its exit status."""

import logging
from collections.abc import Callable

from gateway.agent import logs
from gateway.agent.settings_loading import SettingsError


def exit_status(log: logging.Logger, program: Callable[[], object], *failures: type[Exception]) -> int:
    """Run a program: 0 at its end, 2 if its settings cannot be used, 1 if one of these failures ended it."""
    logs.configure()
    try:
        program()
    except SettingsError as error:
        logs.each_line(log, error)
        return 2
    except failures as error:
        log.critical("%s", error)
        return 1
    return 0
