"""What all providers share: how they are stored, how they fail, what a lost API key does."""

import gc
import json
import traceback
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pulumi
import pytest
from pulumi.dynamic import ConfigureRequest
from pulumi.dynamic.config import Config
from pulumi.dynamic.dynamic import serialize_provider

from gateway.headscale.client import Headscale
from infra.resources import base
from infra.resources.api_key import HeadscaleApiKeyProvider
from infra.resources.certificate_authority import CertificateAuthorityProvider, IssuingCertificateProvider
from infra.resources.client_configs import ClientConfigsProvider
from infra.resources.connections import Connections, settings_by
from infra.resources.existing_namespace import ExistingNamespaceProvider
from infra.resources.exit_node import ExitNodeProvider
from infra.resources.policy import HeadscalePolicyProvider
from infra.resources.pre_auth_key import PreAuthKeyProvider
from infra.resources.readiness import ReadinessProvider
from infra.resources.stack_id import StackIdProvider
from infra.resources.standing import StandingProvider
from infra.resources.token import TokenProvider
from infra.resources.user import HeadscaleUserProvider
from infra.resources.verdict import VerdictProvider
from infra.resources.wireguard_key import WireGuardKeyProvider
from infra.resources.workload_env import WorkloadEnvProvider
from infra.settings import loading
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import CONFIG, Connect

PROVIDERS = [
    CertificateAuthorityProvider,
    ClientConfigsProvider,
    ExistingNamespaceProvider,
    ExitNodeProvider,
    HeadscaleApiKeyProvider,
    HeadscalePolicyProvider,
    HeadscaleUserProvider,
    IssuingCertificateProvider,
    PreAuthKeyProvider,
    ReadinessProvider,
    StackIdProvider,
    StandingProvider,
    TokenProvider,
    VerdictProvider,
    WireGuardKeyProvider,
    WorkloadEnvProvider,
]


def test_all_providers_are_here() -> None:
    assert {kind.__name__ for kind in base.Provider.__subclasses__()} == {kind.__name__ for kind in PROVIDERS}


@pytest.mark.parametrize("kind", PROVIDERS)
def test_provider_is_stored_by_reference(kind: type[base.Provider]) -> None:
    """A change of our code is no change of a resource, and no secret can hang on a provider."""
    assert len(serialize_provider(kind())) < 130
    assert not kind.serialize_as_secret_always


def shown(operation: Callable[[], object]) -> str:
    """What Pulumi's plugin makes of an operation that fails (pulumi/dynamic/__main__.py)."""
    try:
        operation()
    except Exception:
        return traceback.format_exc()
    raise AssertionError("it did not fail")


@pytest.fixture
def alone() -> None:
    """Frames are hidden while an error lives, and pytest keeps those of other tests for a while."""
    gc.collect()


@pytest.mark.usefixtures("alone")
def test_user_sees_one_sentence_and_whatever_bug_comes_next_whole(connect: Connect, server: FakeHeadscale) -> None:
    server.api_keys.clear()
    provider = connect(HeadscaleUserProvider)
    said = shown(lambda: provider.create({"user": "meshgate", "stack_id": "1b"}))
    assert said.startswith("ResourceError: Headscale at http://headscale.test does not accept the API key")
    assert said.endswith("unknown, expired or deleted. `pulumi up --refresh` makes a new one.\n")
    assert said.count("\n") == 1
    assert "in make" in shown(lambda: provider.create({}))


@pytest.mark.usefixtures("alone")
def test_what_a_comparison_refuses_is_one_sentence(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def drifted(*_: object) -> bool:
        raise base.ResourceError("it cannot be compared")

    monkeypatch.setattr(HeadscaleUserProvider, "drifted", drifted)
    assert (
        shown(lambda: connect(HeadscaleUserProvider).diff("meshgate", {}, {}))
        == "ResourceError: it cannot be compared\n"
    )


def test_lost_api_key_of_a_managed_server_lets_refresh_go_on(
    connect: Connect, cluster: FakeCluster, server: FakeHeadscale, caplog: pytest.LogCaptureFixture
) -> None:
    provider = connect(HeadscaleUserProvider)
    made = provider.create({"user": "meshgate", "stack_id": "1b"})
    cluster.secrets.clear()
    read = provider.read(made.id, made.outs or {})
    assert (read.id, read.outs) == (made.id, made.outs)
    assert "Secret meshgate/headscale-api-key" in caplog.text
    with pytest.raises(base.ResourceError, match="pulumi up --refresh"):
        provider.delete(made.id, made.outs or {})


def test_a_server_that_is_gone_for_good_is_passed_over_by_who_says_so(
    connect: Connect, server: FakeHeadscale, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = connect(HeadscaleUserProvider)
    made = provider.create({"user": "meshgate", "stack_id": "1b"})
    server.api_keys.clear()
    with pytest.raises(base.ResourceError, match="If it is gone for good: `MESHGATE_GONE=headscale pulumi destroy`"):
        provider.delete(made.id, made.outs or {})
    monkeypatch.setenv("MESHGATE_GONE", "cluster")
    with pytest.raises(base.ResourceError, match="does not accept the API key"):
        provider.delete(made.id, made.outs or {})
    monkeypatch.setenv("MESHGATE_GONE", "headscale,everything")
    with pytest.raises(
        base.ResourceError, match="MESHGATE_GONE has everything; it can have headscale, cluster or both"
    ):
        provider.delete(made.id, made.outs or {})
    monkeypatch.setenv("MESHGATE_GONE", "headscale,cluster")
    provider.delete(made.id, made.outs or {})
    assert "meshgate was not removed: Headscale at http://headscale.test does not accept the API key" in caplog.text


def test_existing_server_is_reached_by_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Seen(Headscale):
        def __init__(self, url: str, api_key: str, *, ca_certificate: str | None = None) -> None:
            seen.update(url=url, api_key=api_key, ca_certificate=ca_certificate)

    monkeypatch.setattr("gateway.headscale.client.Headscale", Seen)
    config = {
        "meshgate:headscale": '{"managed": false, "url": "https://hs.example.com"}',
        "meshgate:headscale_api_key": "abcdefg.secret",
        "meshgate:gateways": '[{"name": "gw", "endpoint": "vpn.example.com:31820"}]',
    }
    provider = HeadscaleUserProvider()
    provider.configure(ConfigureRequest(Config(config, "meshgate")))
    with provider.connect() as connections:
        assert not connections.managed
        connections.headscale()
    assert seen == {"url": "https://hs.example.com", "api_key": "abcdefg.secret", "ca_certificate": None}


def test_the_settings_are_read_once_for_all_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many gateways that takes longer than an operation."""
    loads = Mock(wraps=loading.load)
    monkeypatch.setattr(loading, "load", loads)
    config = {
        "meshgate:headscale": json.dumps(CONFIG["headscale"]),
        "meshgate:gateways": json.dumps(CONFIG["gateways"]),
    }
    provider = HeadscaleUserProvider()
    provider.configure(ConfigureRequest(Config(config, "meshgate")))
    for _ in range(3):
        assert not provider.check({}, {"server": "https://hs.example.com", "user": "meshgate"}).failures
    assert loads.call_count == 1


def test_bad_settings_are_one_sentence() -> None:
    provider = HeadscaleUserProvider()
    config = {**CONFIG, "headscale": {"managed": True, "url": "nonsense"}}
    provider.connect = lambda: Connections(settings_by(config.get))
    with pytest.raises(base.ResourceError, match=r"meshgate:headscale\.url: 'nonsense' is not a URL"):
        provider.create({"user": "meshgate", "stack_id": "1b"})


def test_secret_outputs_join_the_other_options() -> None:
    merged = base.secret_outputs(pulumi.ResourceOptions(protect=True, additional_secret_outputs=["a"]), "b")
    assert merged.additional_secret_outputs == ["a", "b"]
    assert merged.protect
