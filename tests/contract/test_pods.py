"""All that the settings can say of pods and of an Ingress, on a real API server: it takes each field and makes pods.

No kubelet runs them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from kubernetes.client import CoreV1Api, SchedulingV1Api
from kubernetes.dynamic import DynamicClient

from lab.pulumi import pulumi_host
from tests.contract.apiserver import ApiServer
from tests.contract.pulumi_engine import Engine
from tests.deadlines import wait_for
from tests.unit.docs.commands import bash, console
from tests.unit.test_program import CONFIG, POD, SECRET, Declared, declare, one, sdks_event_loops

pytestmark = [
    pytest.mark.timeout(900),  # the first run on a machine builds the API server
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.usefixtures(sdks_event_loops.__name__),  # as in tests/unit/test_program.py
]

RESOURCES = {
    "wireguard": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"cpu": 4, "memory": "4Gi"}},
    "keys": {"limits": {"memory": "256Mi"}},
}


async def every_setting() -> Declared:
    pair = trustme.CA().issue_cert("headscale.example.com")
    certificate, key = pair.cert_chain_pems[0].bytes().decode(), pair.private_key_pem.bytes().decode()
    ingress = {"certificate": certificate, "annotations": {"example.com/rate": "10"}}
    return await declare(
        access=["mesh"],
        pod=POD | {"resources": RESOURCES},
        headscale=CONFIG["headscale"] | {"ingress": ingress, "stun_node_port": 30478},
        headscale_ingress_key=key,
        orchestrator={},
    )


def plain(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """As the provider sends it: without Pulumi's marks of secrets."""
    if isinstance(value, dict):
        return plain(value["value"]) if SECRET in value else {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def applied(api: ApiServer, declared: Declared) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each object that the program declares, beside what the API server makes of it."""
    cluster: Any = DynamicClient(api.api)
    objects = [plain(args.inputs) for key, args in declared.items() if key.startswith("kubernetes:")]
    for wanted in sorted(objects, key=lambda each: each["kind"] != "Namespace"):
        kind = cluster.resources.get(api_version=wanted["apiVersion"], kind=wanted["kind"])
        # It refuses a field that its schema does not have.
        yield wanted, kind.server_side_apply(body=wanted, field_manager="test").to_dict()


async def test_a_real_api_server_takes_every_setting_and_makes_the_pods(api: ApiServer) -> None:
    scheduling: Any = SchedulingV1Api(api.api)
    scheduling.create_priority_class({"metadata": {"name": POD["priority_class"]}, "value": 1000})
    declared = await every_setting()
    for wanted, made in applied(api, declared):
        assert made["metadata"]["labels"].items() >= wanted["metadata"]["labels"].items()
    namespace = one(declared, "Namespace", "namespace")["metadata"]["name"]
    core: Any = CoreV1Api(api.api)
    wait_for(lambda: len(core.list_namespaced_pod(namespace).items) == 3, "the three pods", 30)
    for pod in core.list_namespaced_pod(namespace).items:
        assert (pod.spec.priority, pod.spec.node_selector) == (1000, POD["node_selector"])
        assert pod.spec.tolerations[0].toleration_seconds == 60
        assert [each.name for each in pod.spec.image_pull_secrets] == POD["image_pull_secrets"]
        assert pod.spec.affinity.node_affinity is not None
        assert {container.image_pull_policy for container in pod.spec.containers} == {"Always"}
        assert pod.metadata.annotations.items() >= POD["annotations"].items()


def test_an_ingress_key_is_set_from_a_file_and_shown_nowhere(api: ApiServer, tmp_path: Path) -> None:
    pair = trustme.CA().issue_cert("headscale.example.com")
    key = pair.private_key_pem.bytes().decode()
    (tmp_path / "key.pem").write_text(key)
    engine = Engine(tmp_path, pulumi_host.find(), api.kubeconfig)
    ingress = {"certificate": pair.cert_chain_pems[0].bytes().decode()}
    headscale = CONFIG["headscale"] | {"ingress": ingress}
    engine.configure({"namespace": "previewed", "headscale": headscale, "gateways": CONFIG["gateways"]})
    (command,) = console("docs/your-own-cluster.md", "A managed Headscale and its certificate")
    bash(command, tmp_path, engine.environment)
    preview = engine.run("preview", "--diff")
    assert preview.code == 0, preview.text
    assert "kubernetes.io/tls" in preview.text
    line = key.splitlines()[1]
    assert line not in preview.text
    assert not [file for file in tmp_path.glob("Pulumi*") if line in file.read_text()]
