from datetime import UTC, datetime, timedelta

import pytest

from infra.resources.user import HeadscaleUserProvider
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.world import Connect

INPUTS = {"user": "meshgate-lab", "user_id": None}


@pytest.fixture
def provider(connect: Connect) -> HeadscaleUserProvider:
    return connect(HeadscaleUserProvider)


def test_life(provider: HeadscaleUserProvider, server: FakeHeadscale) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs == {"user": "meshgate-lab", "user_id": str(server.users["meshgate-lab"])}
    assert provider.create(dict(INPUTS)).outs == made.outs
    assert not provider.diff(made.id, made.outs, dict(INPUTS)).changes
    assert provider.read(made.id, made.outs).outs == made.outs
    provider.delete(made.id, made.outs)
    assert not server.users
    provider.delete(made.id, made.outs)
    assert provider.read(made.id, made.outs).id == ""


def test_another_name_is_another_user(provider: HeadscaleUserProvider) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    assert provider.diff(made.id, made.outs, {**INPUTS, "user": "other"}).replaces == ["user"]


def test_user_with_nodes_of_others_is_left(
    provider: HeadscaleUserProvider, server: FakeHeadscale, caplog: pytest.LogCaptureFixture
) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    with provider.connections.headscale() as headscale:
        user = headscale.user("meshgate-lab")
        key = headscale.create_pre_auth_key(user, expiration=datetime.now(UTC) + timedelta(hours=1))
    server.join(key.key.get_secret_value(), "phone")
    provider.delete(made.id, made.outs)
    assert "meshgate-lab" in server.users
    assert "it owns nodes that are not ours" in caplog.text
