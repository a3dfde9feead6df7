"""Tests depend on nothing of the environment they are started in, and Ctrl-C works in all of them."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from console import environment

environment.enter()
signal.signal(signal.SIGINT, signal.default_int_handler)

# In a fresh checkout the first text takes seconds, as Hypothesis makes its tables of characters.
# It is no fault of the test that comes first.
settings.register_profile("fresh-checkout", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fresh-checkout")

_ALONE_IN_THE_LAB = Path(__file__).parent / "e2e"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file share a worker and their fixtures; those of the e2e ring share the lab too."""
    for item in items:
        group = "lab" if item.path.is_relative_to(_ALONE_IN_THE_LAB) else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
