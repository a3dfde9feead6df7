"""The provider's settings and the kubeconfig they lead to."""

import inspect
from pathlib import Path

import pulumi_kubernetes
import pytest

from lab.kubernetes_plugin.errors import ClusterUnreachableError
from lab.kubernetes_plugin.kubeconfig import load_configuration
from lab.kubernetes_plugin.object_client import ObjectClient
from lab.kubernetes_plugin.properties import UNKNOWN, Secret
from lab.kubernetes_plugin.provider_settings import KNOWN, ProviderSettings, failures, parse
from tests.unit.kubernetes_plugin.serving import UNREACHABLE_KUBECONFIG


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
        ("clusterIdentifier", "mine", "does not support `clusterIdentifier`"),
        ("helmReleaseSettings", '{"driver": "memory"}', "does not support `helmReleaseSettings`"),
        ("kubeClientSettings", '{"timeout": 5}', "does not support `kubeClientSettings`"),
        ("skipUpdateUnreachable", "true", "does not support `skipUpdateUnreachable`"),
        ("contxt", "lab", "no setting `contxt`: did you mean `context`?"),
        ("enableDryRun", "true", "no setting `enableDryRun`: "),
        ("frobnicate", UNKNOWN, "no setting `frobnicate`: remove it."),
    ],
)
def test_what_cannot_be_honoured_is_refused(name: str, value: object, words: str) -> None:
    assert [(setting, words in sentence) for setting, sentence in failures({name: value}, {})] == [(name, True)]


def test_every_setting_of_the_official_plugin_is_known_and_no_other() -> None:
    named = inspect.signature(pulumi_kubernetes.ProviderArgs).parameters
    assert {_camel(name) for name in named} == KNOWN


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def test_the_lab_may_ask_for_prompt_updates_and_for_nothing_else() -> None:
    assert parse({}, {"MESHGATE_LAB_PLUGIN": "prompt"}).prompt
    assert not parse({}, {"MESHGATE_LAB_PLUGIN": ""}).prompt
    assert failures({}, {"MESHGATE_LAB_PLUGIN": "prompt"}) == []
    ((_, sentence),) = failures({}, {"MESHGATE_LAB_PLUGIN": "quick"})
    assert sentence == "MESHGATE_LAB_PLUGIN must be `prompt`, or not set; it is 'quick'."


def test_harmless_settings_are_accepted() -> None:
    given = {
        "context": "lab",
        "version": "4.32.0",
        "suppressDeprecationWarnings": True,
        "alwaysRender": "false",
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
