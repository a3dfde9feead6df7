"""WireGuardKey and Token: made once, kept in the state."""

import pytest
from pulumi.dynamic import ConfigureRequest
from pulumi.dynamic.config import Config

from infra import curve25519
from infra.resources.token import TokenProvider
from infra.resources.wireguard_key import WireGuardKeyProvider
from tests.unit.resources.fake_connections import UNKNOWN, P

NEW_KEY = {"rotation": "", "adopt": None, "private_key": None, "public_key": None}


def configured(kind: type[P]) -> P:
    provider = kind()
    provider.configure(ConfigureRequest(Config({}, "meshgate")))
    return provider


def test_new_key_pair() -> None:
    made = configured(WireGuardKeyProvider).create(NEW_KEY)
    assert made.outs
    assert made.outs["public_key"] == curve25519.public_key(made.outs["private_key"]) == made.id


def test_adopted_key() -> None:
    private_key = curve25519.generate_private_key()
    made = configured(WireGuardKeyProvider).create({**NEW_KEY, "adopt": private_key})
    assert made.outs
    assert made.outs["private_key"] == private_key


def test_adopted_key_must_be_one() -> None:
    result = configured(WireGuardKeyProvider).check({}, {**NEW_KEY, "adopt": "nonsense"})
    assert [(failure.property, failure.reason[:30]) for failure in result.failures] == [
        ("adopt", "the key is not a WireGuard key")
    ]
    assert not configured(WireGuardKeyProvider).check({}, NEW_KEY).failures
    assert not configured(WireGuardKeyProvider).check({}, {**NEW_KEY, "adopt": UNKNOWN}).failures


@pytest.mark.parametrize(
    ("kind", "inputs"), [(WireGuardKeyProvider, NEW_KEY), (TokenProvider, {"rotation": "", "value": None})]
)
def test_stays_until_rotated(kind: type[P], inputs: dict[str, object]) -> None:
    provider = configured(kind)
    made = provider.create(dict(inputs))
    assert made.outs
    assert not provider.diff(made.id, made.outs, dict(inputs)).changes
    rotated = provider.diff(made.id, made.outs, {**inputs, "rotation": "2027"})
    assert rotated.changes
    assert rotated.replaces == ["rotation"]
    assert provider.diff(made.id, made.outs, {**inputs, "rotation": UNKNOWN}).changes
    read = provider.read(made.id, made.outs)
    assert (read.id, read.outs) == (made.id, made.outs)
    provider.delete(made.id, made.outs)


def test_token() -> None:
    made = configured(TokenProvider).create({"rotation": "", "value": None})
    assert made.outs
    assert len(made.outs["value"]) == 43
    assert made.id not in made.outs["value"]
    assert made.outs["value"] != (configured(TokenProvider).create({"rotation": ""}).outs or {})["value"]
