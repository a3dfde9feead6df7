"""The end of an `up` in which gateways failed."""

import pytest

from infra.resources.verdict import VerdictProvider
from tests.unit.resources.fake_connections import UNKNOWN, Connect


@pytest.fixture
def provider(connect: Connect) -> VerdictProvider:
    return connect(VerdictProvider)


def test_all_that_failed_is_told_together(provider: VerdictProvider) -> None:
    (failure,) = provider.check(
        {}, {"whys": ["Gateway one failed.\nits words", "", None, "Gateway two failed."]}
    ).failures
    assert failure.reason == "Gateway one failed.\nits words\nGateway two failed."


def test_a_preview_and_an_up_in_which_all_is_well_pass(provider: VerdictProvider) -> None:
    for whys in ([UNKNOWN, "", ""], ["", "", ""]):
        assert not provider.check({"whys": ["", "", ""]}, {"whys": whys}).failures
        assert not provider.diff("verdict", {"whys": ["", "", ""]}, {"whys": whys}).changes
