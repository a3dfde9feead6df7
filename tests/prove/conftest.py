"""The long proofs look at the lab with the same eyes as the e2e tests, and tell their figures."""

import pytest

from tests.e2e.conftest import stack
from tests.prove.figures import SHOWN

__all__ = ["stack"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the figures, also of a run that was interrupted."""
    if SHOWN:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(SHOWN))
