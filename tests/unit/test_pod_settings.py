"""What the section `pod` refuses in the preview, where Kubernetes would refuse it in the middle of an `up`."""

from typing import Any

import pytest

from infra.kubernetes.labels import ADOPTED, NOT_AWAITED, OWNER, labels
from infra.settings.loading import SettingsError
from tests.unit.test_settings import GATEWAY, GOOD, METAL, load_values, with_gateway, with_headscale, with_metal

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def refused(values: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as error:
        load_values(values)
    return str(error.value)


def node_term(**requirement: object) -> dict[str, Any]:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}}}


@pytest.mark.parametrize(
    ("pod", "sentence"),
    [
        ({"node_selektor": {}}, "pod.node_selektor: there is no such setting; known here are affinity, annotations"),
        ({"image_pull_secrets": ["Registry"]}, "pod.image_pull_secrets[0]: 'Registry' is not an object's name"),
        ({"image_pull_policy": "Sometimes"}, "'Sometimes' cannot be used: it should be 'Always', 'IfNotPresent' or"),
        ({"priority_class": "very important"}, "pod.priority_class: 'very important' is not an object's name"),
        ({"node_selector": {"zone": "a b"}}, "pod.node_selector: zone: 'a b' is not a label's value of at most 63"),
        ({"labels": {"-team": "a"}}, "pod.labels: '-team' is not a key such as team or example.com/team: an optional"),
        ({"labels": {"Example.com/team": "a"}}, "'Example.com/team' is not a key"),
        ({"labels": {"team": "a" * 64}}, f"team: '{'a' * 64}' is not a label's value"),
        ({"annotations": {"example.com/": "a"}}, "pod.annotations: 'example.com/' is not a key"),
        (
            {"tolerations": [{"key": "a", "operator": "In"}]},
            "tolerations[0].operator: 'In' cannot be used: it should be",
        ),
        (
            {"tolerations": [{"key": "a", "effect": "No"}]},
            "effect: 'No' cannot be used: it should be 'NoSchedule', 'Pre",
        ),
        (
            {"tolerations": [{"effect": "NoSchedule"}]},
            "tolerations[0]: it has no key; give one, or operator: Exists for",
        ),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
            "tolerations[0]: value 'b' has no effect with operator Exists; use Equal, or leave it out.",
        ),
        (
            {"tolerations": [{"key": "a", "toleration_seconds": 5, "effect": "NoSchedule"}]},
            "toleration_seconds has an effect with effect: NoExecute alone; set that, or leave it out.",
        ),
        ({"affinity": {"nodeAfinity": {}}}, "pod.affinity: nodeAfinity: Kubernetes has no such field here."),
        (
            {"affinity": node_term(key="zone", operator="Is")},
            f"nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].operator: 'Is' cannot be used: it shoul",
        ),
        ({"affinity": node_term(key="zone", operator="In")}, "matchExpressions[0]: operator In needs values."),
        ({"affinity": node_term(key="a", operator="Exists", values=["b"])}, "operator Exists takes no values."),
        (
            {"affinity": node_term(key="a", operator="Gt", values=["b"])},
            "operator Gt takes one whole number in values.",
        ),
        (
            {"affinity": {"podAntiAffinity": {REQUIRED: [{}]}}},
            f"podAntiAffinity.{REQUIRED}[0].topologyKey: it is missing.",
        ),
        ({"affinity": {"podAffinity": {PREFERRED: [{"weight": 0}]}}}, "weight: 0 cannot be used: it should be greater"),
        (
            {"resources": {"wiregard": {}}},
            "pod.resources.wiregard: there is no such setting; known here are agent, heads",
        ),
        (
            {"resources": {"wireguard": {"limits": {"memory": "512Mi"}}}},
            "pod.resources.wireguard: limits.memory 512Mi is too little for 65533 devices, which need 2816Mi; give tha",
        ),
        (
            {"resources": {"agent": {"limits": {"memory": "64M"}}}},
            "memory: '64M' cannot be used: it should match pattern",
        ),
        (
            {"resources": {"agent": {"requests": {"cpu": "1 core"}}}},
            "cpu: '1 core' is not an amount of CPU such as 250m",
        ),
        (
            {"resources": {"agent": {"requests": {"cpu": 1}, "limits": {"cpu": "250m"}}}},
            "pod.resources.agent: requests.cpu 1 is more than limits.cpu 250m; set both so that the request fits.",
        ),
        (
            {"resources": {"tailscale": {"limits": {"memory": "32Mi"}}}},
            "pod.resources.tailscale: requests.memory 64Mi is more than limits.memory 32Mi; set both so that",
        ),
    ],
)
def test_bad_values_get_one_sentence_wherever_the_section_stands(pod: dict[str, Any], sentence: str) -> None:
    assert sentence in refused(GOOD | {"pod": pod})
    assert sentence in refused(with_gateway(pod=pod))


@pytest.mark.parametrize("key", [*labels("", ""), OWNER, "meshgate/config", *ADOPTED, *NOT_AWAITED])
def test_what_the_program_sets_itself_is_not_overridden(key: str) -> None:
    for where in ("labels", "annotations", "object_labels", "object_annotations"):
        assert f"pod.{where}: {key}: the stack sets that itself; leave it out." in refused(
            with_gateway(pod={where: {key: "a"}})
        )


def test_a_smaller_pool_needs_less() -> None:
    limits = {"resources": {"wireguard": {"limits": {"memory": "512Mi"}}}}
    assert load_values(with_gateway(client_networks=["10.77.0.0/24"], pod=limits))


def test_the_sentence_names_the_section_that_says_it() -> None:
    little = {"resources": {"agent": {"limits": {"memory": "128Mi"}}}}
    assert "meshgate: pod.resources.agent: limits.memory" in refused(GOOD | {"pod": little})
    assert "meshgate: gateways[0].pod.resources.agent: limits.memory" in refused(with_gateway(pod=little))
    assert load_values(with_gateway(pod={"resources": {}}) | {"pod": little})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (with_metal(pod={"priority_class": "a"}), "gateways[0]: pod describe a pod; leave them out or set target: kub"),
        (
            with_headscale(managed=False, pod={}) | {"headscale_api_key": "k"},
            "pod describe a server of ours; leave them",
        ),
        (
            {"gateways": [METAL], "pod": {"priority_class": "a"}},
            "pod is set, but nothing of this stack runs in the clus",
        ),
        (
            GOOD | {"pod": {"resources": {"keys": {}}}},
            "pod.resources names keys, and this stack has no such container; ",
        ),
        (
            with_gateway(pod={"resources": {"openvpn": {}}}),
            "gateways[0].pod.resources names openvpn, and this pod has no such container; there are agent, tailscale,",
        ),
        (
            with_headscale(pod={"resources": {"agent": {}}}),
            "headscale.pod.resources names agent, and this pod has no such",
        ),
    ],
)
def test_what_would_have_no_effect_is_refused(values: dict[str, Any], sentence: str) -> None:
    assert sentence in refused(values)


def test_an_empty_section_says_nothing() -> None:
    """As Pulumi.yaml's default has it."""
    assert load_values({"gateways": [METAL], "pod": {}}).pod.model_fields_set == set()


def test_what_kubernetes_takes_is_taken() -> None:
    selector = {"matchLabels": {"app.kubernetes.io/name": "gateway"}, "matchExpressions": []}
    term = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
    affinity = {
        "nodeAffinity": {
            PREFERRED: [{"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}]
        },
        "podAntiAffinity": {REQUIRED: [term], PREFERRED: [{"weight": 100, "podAffinityTerm": term}]},
    }
    tolerations = [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute", "toleration_seconds": 0}]
    pod = {"affinity": affinity, "tolerations": tolerations, "annotations": {"a": "any text: of any length"}}
    assert load_values({"gateways": [GATEWAY], "pod": pod}).pod.affinity == affinity
