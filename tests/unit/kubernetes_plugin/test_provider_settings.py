"""The provider's settings and the kubeconfig they lead to."""

from pathlib import Path

import pytest

from lab.kubernetes_plugin.errors import ClusterUnreachableError
from lab.kubernetes_plugin.kubeconfig import load_configuration
from lab.kubernetes_plugin.object_client import ObjectClient
from lab.kubernetes_plugin.properties import UNKNOWN, Secret
from lab.kubernetes_plugin.provider_settings import ProviderSettings, failures, parse
from tests.unit.kubernetes_plugin.plugin import UNREACHABLE_KUBECONFIG


def test_flags_come_as_booleans_or_words_and_else_from_the_environment() -> None:
    environment = {"PULUMI_K8S_ENABLE_SECRET_MUTABLE": "true", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS": "true"}
    settings = parse({"enableConfigMapMutable": "true", "upsertExistingObjects": False}, environment)
    assert settings.mutable_kinds == {"ConfigMap", "Secret"}
    assert not settings.upsert, "what the program says goes before the environment"
    assert parse({}, {}) == ProviderSettings()


def test_a_secret_kubeconfig_is_used_and_an_unknown_one_is_noticed() -> None:
    assert parse({"kubeconfig": Secret("/k")}, {}).kubeconfig == "/k"
    assert not parse({"kubeconfig": UNKNOWN}, {}).known


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("enableServerSideApply", False, "needs `enableServerSideApply` to be true"),
        ("renderYamlToDirectory", "out", "does not support `renderYamlToDirectory`"),
        ("upsertExistingObjects", "yes", "must be true or false"),
    ],
)
def test_what_cannot_be_honoured_is_refused(name: str, value: object, words: str) -> None:
    assert [(setting, words in sentence) for setting, sentence in failures({name: value}, {})] == [(name, True)]


def test_harmless_settings_are_accepted() -> None:
    given = {
        "context": "lab",
        "version": "4.32.0",
        "suppressDeprecationWarnings": True,
        "enableServerSideApply": "true",
    }
    assert failures(given, {}) == []


def test_the_kubeconfig_is_a_path_or_the_content(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(UNREACHABLE_KUBECONFIG)
    for kubeconfig in (str(path), UNREACHABLE_KUBECONFIG):
        settings = ProviderSettings(kubeconfig=kubeconfig)
        assert load_configuration(settings).host == "https://127.0.0.1:9"
        assert ObjectClient(settings).default_namespace() == "team"
    assert ObjectClient(ProviderSettings(kubeconfig=str(path), namespace="mine")).default_namespace() == "mine"


@pytest.mark.parametrize(
    "settings",
    [
        ProviderSettings(kubeconfig="/nonexistent/kubeconfig"),
        ProviderSettings(kubeconfig="{not yaml"),
        ProviderSettings(kubeconfig=UNREACHABLE_KUBECONFIG, context="other"),
    ],
)
def test_an_unusable_kubeconfig_is_one_sentence(settings: ProviderSettings) -> None:
    with pytest.raises(ClusterUnreachableError, match="the kubeconfig cannot be used: "):
        load_configuration(settings)
