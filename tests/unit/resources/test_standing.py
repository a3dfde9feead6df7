"""Which gateways the app is told of."""

from typing import Any

import pytest

from infra.resources.standing import StandingProvider
from tests.unit.resources.fake_connections import UNKNOWN, Connect


@pytest.fixture
def provider(connect: Connect) -> StandingProvider:
    return connect(StandingProvider)


def of(**stood: object) -> dict[str, Any]:
    return {"stood": stood, "names": None}


def test_those_that_stand_or_stood_are_known(provider: StandingProvider) -> None:
    made = provider.create(of(two=True, one=False, three=True)).outs or {}
    assert made["names"] == ["three", "two"]
    for stood in ({"one": True}, {"two": False}, {"four": True}):
        news = of(**{"one": False, "two": True, "three": True, **stood})
        assert provider.diff("standing", made, news).changes
    assert not provider.diff("standing", made, of(four=False, two=True, three=True)).changes
    fewer = of(one=True, two=True)
    assert provider.diff("standing", made, fewer).changes
    assert (provider.update("standing", made, fewer).outs or {})["names"] == ["one", "two"]


def test_a_gateway_that_changes_is_no_change_of_the_apps_env(provider: StandingProvider) -> None:
    """In a preview, in which nobody knows what becomes of it; but one that never stood is expected to stand."""
    made = provider.create(of(one=True, two=False)).outs or {}
    assert not provider.diff("standing", made, of(one=UNKNOWN, two=False)).changes
    assert provider.diff("standing", made, of(one=True, two=UNKNOWN)).changes
