"""Tests depend on nothing of the environment they are started in, and Ctrl-C works in all of them."""

import gc
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from console import environment
from tests.turns import MACHINES, Turns

environment.enter()
signal.signal(signal.SIGINT, signal.default_int_handler)

# In a fresh checkout the first text takes seconds, as Hypothesis makes its tables of characters.
# It is no fault of the test that comes first.
settings.register_profile("fresh-checkout", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fresh-checkout")


class RingsAtOnce(LoadFileScheduling):  # type: ignore[misc]  # without types
    """Gives each worker whole files; those of the one lab to one, and those of its machines to another."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(MACHINES):
            return "machines"
        return "lab" if nodeid.startswith("tests/e2e/") else str(super()._split_scope(nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector off modules and tests: they stay to the end, and it would walk them all the time."""
    gc.disable()
    collected = yield
    gc.freeze()
    gc.enable()
    return collected


_TURNS = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Have the workers of a run wait for their turns."""
    if worker := getattr(config, "workerinput", None):
        config.pluginmanager.register(Turns(Path(worker["turns"])))
    else:
        directory = tempfile.TemporaryDirectory(prefix="meshgate-turns-")
        config.add_cleanup(directory.cleanup)
        config.stash[_TURNS] = directory.name


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell each worker where."""
    node.workerinput["turns"] = node.config.stash[_TURNS]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> RingsAtOnce | None:
    """Take the place of xdist's own `--dist loadfile`."""
    return RingsAtOnce(config, log) if config.getvalue("dist") == "loadfile" else None
