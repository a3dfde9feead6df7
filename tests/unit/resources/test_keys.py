"""WireGuardKey, Token, CertificateAuthority and IssuingCertificate: made once, kept in the state."""

from datetime import timedelta
from typing import Any

import pytest
from pulumi.dynamic import ConfigureRequest
from pulumi.dynamic.config import Config

from gateway.agent.certificates import Issuer
from infra import certificate_authority, curve25519
from infra.resources.base import ResourceError
from infra.resources.certificate_authority import CertificateAuthorityProvider, IssuingCertificateProvider
from infra.resources.connections import STILL_IN_THE_MESH
from infra.resources.token import TokenProvider
from infra.resources.wireguard_key import WireGuardKeyProvider
from infra.secret_contents import PREVIOUS_PRIVATE_KEY
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import UNKNOWN, FakeConnections, P

NEW_KEY = {"rotation": "", "adopt": None, "private_key": None, "public_key": None}
MESH = "https://headscale.example.com"
TOKENS = ("value", "previous", "next", "admin")
NEW_TOKEN = {"rotation": "", **dict.fromkeys(TOKENS)}


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


@pytest.mark.parametrize("adopted_before", [True, False])
def test_the_key_that_is_there_already_changes_nothing_and_neither_does_none(*, adopted_before: bool) -> None:
    provider = configured(WireGuardKeyProvider)
    key = curve25519.generate_private_key()
    made = provider.create({**NEW_KEY, "adopt": key} if adopted_before else dict(NEW_KEY))
    assert made.outs
    for adopt in (made.outs["private_key"], None):
        diff = provider.diff(made.id, made.outs, {**NEW_KEY, "adopt": adopt})
        assert (diff.changes, diff.replaces) == (False, [])


def test_another_key_is_a_replacement_also_together_with_a_rotation() -> None:
    provider = configured(WireGuardKeyProvider)
    made = provider.create(dict(NEW_KEY))
    assert made.outs
    another = {**NEW_KEY, "adopt": curve25519.generate_private_key()}
    assert provider.diff(made.id, made.outs, another).replaces == ["adopt"]
    assert provider.diff(made.id, made.outs, {**another, "rotation": "2027"}).replaces == ["adopt", "rotation"]


def test_a_rotation_to_the_same_key_is_refused() -> None:
    provider = configured(WireGuardKeyProvider)
    key = curve25519.generate_private_key()
    made = provider.create({**NEW_KEY, "adopt": key})
    assert made.outs
    with pytest.raises(ResourceError) as error:
        provider.diff(made.id, made.outs, {**NEW_KEY, "adopt": key, "rotation": "2027"})
    assert str(error.value) == (
        "`key_rotation` would make a new WireGuard key, and `private_key` is the one that there is: take `private_key` "
        "out, or give another one."
    )


KEPT = {**NEW_KEY, "rotation": "2027", "keep_previous": True}


def rotated_key() -> tuple[WireGuardKeyProvider, dict[str, Any], dict[str, Any]]:
    """A key as it was made, and as a rotation that keeps it left it."""
    provider = configured(WireGuardKeyProvider)
    made = provider.create({**NEW_KEY, "keep_previous": False})
    assert made.outs
    after = provider.update(made.id, made.outs, dict(KEPT)).outs
    assert after
    return provider, made.outs, after


def test_a_rotation_may_keep_the_key_that_there_was() -> None:
    provider, before, after = rotated_key()
    diff = provider.diff("id", before, KEPT)
    assert (diff.changes, diff.replaces) == (True, []), "the engine lets that be done to a protected resource"
    assert (before["previous_private_key"], before["previous_public_key"]) == ("", "")
    assert (after["previous_private_key"], after["previous_public_key"]) == (
        before["private_key"],
        before["public_key"],
    )
    assert after["public_key"] == curve25519.public_key(after["private_key"]) != before["public_key"]
    assert not provider.diff("id", after, KEPT).changes


def test_a_state_of_an_older_program_can_be_rotated() -> None:
    provider = configured(WireGuardKeyProvider)
    private_key = curve25519.generate_private_key()
    old = {"rotation": "", "private_key": private_key, "public_key": curve25519.public_key(private_key)}
    assert not provider.diff("id", old, {**NEW_KEY, "keep_previous": False}).changes
    assert not provider.diff("id", old, KEPT).replaces
    after = provider.update("id", old, dict(KEPT)).outs
    assert after
    assert after["previous_private_key"] == private_key


def test_a_given_key_may_follow_the_one_that_there_was() -> None:
    provider, before, _ = rotated_key()
    given = {**NEW_KEY, "adopt": curve25519.generate_private_key(), "keep_previous": True}
    assert provider.diff("id", before, given).replaces == []
    after = provider.update("id", before, dict(given)).outs
    assert after
    assert (after["private_key"], after["previous_private_key"]) == (given["adopt"], before["private_key"])


def test_the_previous_key_ends_with_its_setting_and_the_present_one_stays() -> None:
    provider, _, under_way = rotated_key()
    alone = {**KEPT, "keep_previous": False}
    diff = provider.diff("id", under_way, alone)
    assert (diff.changes, diff.replaces) == (True, [])
    after = provider.update("id", under_way, dict(alone)).outs
    assert after
    assert (after["private_key"], after["previous_private_key"]) == (under_way["private_key"], "")
    assert not provider.diff("id", after, alone).changes


@pytest.mark.parametrize("news", [KEPT, NEW_KEY | {"keep_previous": False}], ids=["keeps", "ends"])
def test_a_second_rotation_waits_for_the_end_of_the_first(news: dict[str, Any]) -> None:
    provider, before, under_way = rotated_key()
    with pytest.raises(ResourceError) as error:
        provider.diff("id", under_way, {**news, "rotation": "2028"})
    assert str(error.value) == (
        "there would be a new WireGuard key, and the one before the present one is still kept: first take "
        "`previous_key` out and leave `key_rotation` and `private_key` as they are, run `pulumi up`, and then rotate "
        "again."
    )
    assert provider.diff("id", before, {**NEW_KEY, "rotation": "2028"}).replaces == ["rotation"], "without keeping it"


NO_PREVIOUS = (
    "`previous_key` is set, and there is no WireGuard key before the present one: give another `key_rotation` together "
    "with it, or leave it out."
)


def test_a_key_before_the_first_one_is_refused() -> None:
    provider, before, _ = rotated_key()
    (failure,) = provider.check({}, dict(KEPT)).failures
    assert failure.reason == NO_PREVIOUS
    assert provider.check(before, dict(KEPT)).failures == []
    with pytest.raises(ResourceError) as error:
        provider.diff("id", before, {**NEW_KEY, "keep_previous": True})
    assert str(error.value) == NO_PREVIOUS


@pytest.mark.parametrize(
    ("before", "now", "refused"),
    [
        (MESH, None, True),
        (MESH, "", False),
        ("", None, False),
        (None, None, False),
        (None, MESH, False),
    ],
)
def test_a_mesh_is_not_forgotten_while_the_gateway_is_in_it(before: str | None, now: str | None, refused: bool) -> None:
    result = configured(TokenProvider).check(NEW_TOKEN | {"headscale": before}, NEW_TOKEN | {"headscale": now})
    assert [failure.reason for failure in result.failures] == ([STILL_IN_THE_MESH] if refused else [])


@pytest.mark.parametrize(
    ("kind", "inputs", "replaces"), [(WireGuardKeyProvider, NEW_KEY, ["rotation"]), (TokenProvider, NEW_TOKEN, [])]
)
def test_stays_until_rotated(kind: type[P], inputs: dict[str, object], replaces: list[str]) -> None:
    provider = configured(kind)
    made = provider.create(dict(inputs))
    assert made.outs
    assert not provider.diff(made.id, made.outs, dict(inputs)).changes
    rotated = provider.diff(made.id, made.outs, {**inputs, "rotation": "2027"})
    assert rotated.changes
    assert rotated.replaces == replaces
    assert provider.diff(made.id, made.outs, {**inputs, "rotation": UNKNOWN}).changes
    read = provider.read(made.id, made.outs)
    assert (read.id, read.outs) == (made.id, made.outs)
    provider.delete(made.id, made.outs)


def test_new_token() -> None:
    made = configured(TokenProvider).create(dict(NEW_TOKEN)).outs
    assert made
    assert made.pop("previous") == ""
    assert made.pop("rotation") == ""
    assert {len(token) for token in made.values()} == {43}
    assert len(set(made.values())) == 3
    other = configured(TokenProvider).create(dict(NEW_TOKEN)).outs
    assert not set(made.values()) & set((other or {}).values())


def test_an_id_tells_nothing_of_the_token() -> None:
    made = configured(TokenProvider).create(dict(NEW_TOKEN))
    assert made.outs
    assert not any(made.id in token for token in made.outs.values())


def test_a_rotated_token_was_known_before_and_the_old_one_is_known_afterwards() -> None:
    """So a gateway and an orchestrator understand each other, whichever of them hears of the rotation first."""
    provider = configured(TokenProvider)
    made = provider.create(dict(NEW_TOKEN))
    known = [made.outs or {}]
    for rotation in ("a", "b"):
        news = NEW_TOKEN | {"rotation": rotation}
        known.append(provider.update(made.id, known[-1], dict(news)).outs or {})
    first, second, third = ({name: outs[name] for name in TOKENS} for outs in known)
    for before, after in ((first, second), (second, third)):
        assert after["value"] == before["next"]
        assert after["previous"] == before["value"]
        assert not {after["next"], after["admin"]} & set(before.values())
    assert first["value"] not in third.values(), "the one before the last is void"


def test_an_issuing_certificate_is_what_a_gateway_can_use() -> None:
    ca = configured(CertificateAuthorityProvider).create({"name": "Meshgate lab"}).outs
    assert ca
    wanted = {"rotation": "", "name": "gateway one", "ca_certificate": ca["certificate"], "ca_key": ca["key"]}
    issuing = configured(IssuingCertificateProvider).create(wanted).outs
    assert issuing
    assert Issuer(issuing["chain"], issuing["key"]).ca == ca["certificate"]
    provider = configured(IssuingCertificateProvider)
    assert provider.diff("gateway one", issuing, {**wanted, "rotation": "2"}).replaces == ["rotation"]
    spared = {**wanted, "rotation": "2", "spared": True}
    diff = provider.diff("gateway one", issuing, spared)
    assert (diff.changes, diff.replaces) == (True, []), "it is the WireGuard key that is rotated"
    after = provider.update("gateway one", issuing, spared).outs
    assert after
    assert after["chain"] == issuing["chain"]
    assert not provider.diff("gateway one", after, {**spared, "spared": False}).changes
    assert provider.diff("gateway one", issuing, {**spared, "name": "another"}).replaces == ["rotation", "name"]
    assert not provider.diff("gateway one", issuing, wanted).changes


def test_below_a_ca_that_has_ended_nothing_is_issued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_authority, "VALID_FOR", timedelta(seconds=-1))
    old = certificate_authority.make("old")
    provider = configured(IssuingCertificateProvider)
    (failure,) = provider.check({}, {"name": "one", "rotation": "", "ca_certificate": old.certificate}).failures
    assert failure.reason.startswith("the stack's CA has ended on ")
    assert not provider.check({}, {"name": "one", "rotation": "", "ca_certificate": UNKNOWN}).failures


def test_of_a_lost_state_the_previous_key_is_taken_over_too(server: FakeHeadscale, left: FakeCluster) -> None:
    held = left.secrets["meshgate", "meshgate-gw"]
    held[PREVIOUS_PRIVATE_KEY] = curve25519.generate_private_key()
    provider, wanted = recovered(WireGuardKeyProvider, server, left), {**KEPT, "kept_in": "meshgate-gw"}
    assert provider.check({}, dict(wanted)).failures == []
    key = provider.create(dict(wanted)).outs
    assert key
    assert (key["private_key"], key["previous_private_key"]) == (held["private-key"], held[PREVIOUS_PRIVATE_KEY])


LOST, OWN = "5a" * 16, "1b" * 16


@pytest.fixture
def left(server: FakeHeadscale) -> FakeCluster:
    """A cluster with the Secret of a gateway whose state is lost."""
    cluster = FakeCluster()
    cluster.labelled["/api/v1/namespaces/meshgate/secrets/meshgate-gw"] = {"meshgate/stack": LOST}
    issuing = certificate_authority.issuing(certificate_authority.make("the old CA"), "gw")
    cluster.apply_secret(
        "meshgate",
        "meshgate-gw",
        {
            "private-key": curve25519.generate_private_key(),
            "tokens": "register one\nregister two\nadmin three\n",
            "issuing.crt": issuing.certificate,
            "issuing.key": issuing.key,
        },
    )
    return cluster


def recovered(kind: type[P], server: FakeHeadscale, cluster: FakeCluster, recover: str | None = LOST) -> P:
    provider = kind()
    provider.connect = lambda: FakeConnections(server, cluster, recover=recover)
    return provider


def test_what_a_lost_state_left_is_taken_over(server: FakeHeadscale, left: FakeCluster) -> None:
    held = left.secrets["meshgate", "meshgate-gw"]
    kept = {"kept_in": "meshgate-gw"}
    key = recovered(WireGuardKeyProvider, server, left).create({**NEW_KEY, **kept}).outs
    assert key
    assert key["private_key"] == held["private-key"]
    token = recovered(TokenProvider, server, left).create({**NEW_TOKEN, **kept}).outs
    assert token
    assert [token[name] for name in TOKENS] == ["one", "", "two", "three"]
    ca = certificate_authority.make("the new CA")
    below = {"rotation": "", "name": "gw", "ca_certificate": ca.certificate, "ca_key": ca.key}
    issuer = recovered(IssuingCertificateProvider, server, left).create({**below, **kept}).outs
    assert issuer
    assert (issuer["chain"], issuer["key"]) == (held["issuing.crt"], held["issuing.key"])


@pytest.mark.parametrize(
    ("recover", "kept_in"), [(None, "meshgate-gw"), (OWN, "meshgate-gw"), (LOST, None), (LOST, "x")]
)
def test_nothing_else_is_taken_over(
    server: FakeHeadscale, left: FakeCluster, recover: str | None, kept_in: str | None
) -> None:
    """Such as a key that is rotated: its Secret is this state's own by then."""
    made = recovered(WireGuardKeyProvider, server, left, recover).create({**NEW_KEY, "kept_in": kept_in}).outs
    assert made
    assert made["private_key"] != left.secrets["meshgate", "meshgate-gw"]["private-key"]
