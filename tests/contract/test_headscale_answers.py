"""Headscale's answers, as the fake of the unit tests was told them: the oldest version and the newest."""

from pathlib import Path

import httpx
import pytest

from lab.tools import pinned_tools
from tests.contract.real_headscale import running_headscale
from tests.unit.headscale import answers

pytestmark = pytest.mark.timeout(600)  # as in test_headscale.py


@pytest.mark.parametrize(
    "tool", [pinned_tools.HEADSCALE, pinned_tools.HEADSCALE_0_23], ids=lambda tool: str(tool.version)
)
def test_server_answers_as_recorded(tool: pinned_tools.Tool, tmp_path: Path) -> None:
    with running_headscale(tmp_path, tool) as server, httpx.HTTPTransport() as transport:
        answers.hold(tool.version, answers.record(server, transport), may_record=True)
