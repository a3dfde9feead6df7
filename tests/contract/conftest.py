from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from lab.tools import pinned_tools
from tests.contract.apiserver import ApiServer, api_server
from tests.contract.real_headscale import RealHeadscale, running_headscale


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with api_server(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.fixture(scope="module")
def headscale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHeadscale]:
    with running_headscale(tmp_path_factory.mktemp("headscale"), pinned_tools.HEADSCALE) as server:
        yield server


@pytest.fixture(scope="module")
def api_key(headscale: RealHeadscale) -> str:
    return headscale.new_api_key(datetime.now(UTC) + timedelta(days=60))
