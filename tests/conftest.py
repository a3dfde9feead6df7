"""Tests depend on nothing of the environment they are started in, and Ctrl-C works in all of them."""

import signal

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from console import environment

environment.enter()
signal.signal(signal.SIGINT, signal.default_int_handler)

# In a fresh checkout the first text takes seconds, as Hypothesis makes its tables of characters.
# It is no fault of the test that comes first.
settings.register_profile("fresh-checkout", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fresh-checkout")


class RingsAtOnce(LoadFileScheduling):  # type: ignore[misc]  # without types
    """Gives each worker whole files, and all files of the e2e ring to one: there is one lab."""

    def _split_scope(self, nodeid: str) -> str:
        return _LAB if nodeid.startswith(_LAB) else str(super()._split_scope(nodeid))


_LAB = "tests/e2e/"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> RingsAtOnce | None:
    """Take the place of xdist's own `--dist loadfile`."""
    return RingsAtOnce(config, log) if config.getvalue("dist") == "loadfile" else None
