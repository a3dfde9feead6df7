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
    """Gives each worker whole files, and nearly all files of the e2e ring to one: there is one lab.

    The long file of machines is another's. What the two may not do at once: tests/e2e/conftest.py.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return _LAB if file.startswith(_LAB) and file != _MACHINES else file


_LAB = "tests/e2e/"
_MACHINES = "tests/e2e/test_metal.py"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> RingsAtOnce | None:
    """Take the place of xdist's own `--dist loadfile`."""
    return RingsAtOnce(config, log) if config.getvalue("dist") == "loadfile" else None
