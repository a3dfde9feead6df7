"""The service as the engine sees it, without a cluster; and the process around it."""

import base64
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2 as messages
from pulumi.runtime.proto import provider_pb2_grpc

from lab.kubernetes_plugin.properties import UNKNOWN, from_struct, to_struct
from tests.unit.kubernetes_plugin.recorded import config_map, deployment
from tests.unit.kubernetes_plugin.serving import UNREACHABLE_KUBECONFIG, Plugin, serving

REPOSITORY = Path(__file__).parents[3]
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"


@pytest.fixture
def plugin() -> Iterator[Plugin]:
    with serving() as running:
        yield running


def refused(plugin: Plugin, method: str, request: object) -> str:
    with pytest.raises(grpc.RpcError) as error:
        getattr(plugin.stub, method)(request)
    return str(error.value.details())


def test_it_says_once_and_why_that_it_is_a_stand_in(plugin: Plugin) -> None:
    ((severity, ephemeral, message),) = plugin.engine.lines
    assert (severity, ephemeral) == ("INFO", False)
    assert "stand-in for pulumi-resource-kubernetes v4.32.0" in message
    assert "because the official plugin could not be had" in message


def test_without_a_cluster_nothing_is_made_and_the_sentence_names_it(plugin: Plugin) -> None:
    request = messages.CreateRequest(type=CONFIG_MAP, properties=to_struct(config_map("1", name="a")))
    sentence = refused(plugin, "Create", request)
    assert sentence.startswith("configured Kubernetes cluster is unreachable: https://127.0.0.1:9: ")
    assert sentence.endswith("Connection refused")


def test_without_a_cluster_a_preview_shows_the_inputs_and_warns_once(plugin: Plugin) -> None:
    inputs = config_map("1", name="a")
    request = messages.CreateRequest(type=CONFIG_MAP, properties=to_struct(inputs), preview=True)
    for _ in range(2):
        assert from_struct(plugin.stub.Create(request).properties) == inputs
    warnings = [message for severity, _, message in plugin.engine.lines if severity == "WARNING"]
    assert len(warnings) == 1
    assert "unreachable" in warnings[0]


def test_a_preview_with_unknown_values_asks_nobody(plugin: Plugin) -> None:
    inputs = config_map("1", name=UNKNOWN)
    request = messages.CreateRequest(type=CONFIG_MAP, properties=to_struct(inputs), preview=True)
    assert from_struct(plugin.stub.Create(request).properties) == inputs
    assert len(plugin.engine.lines) == 1


def test_a_kubeconfig_that_does_not_exist_yet_previews_the_inputs(plugin: Plugin) -> None:
    request = messages.ConfigureRequest(args=to_struct({"kubeconfig": UNKNOWN}))
    plugin.stub.Configure(request)
    news = to_struct(deployment("2"))
    update = messages.UpdateRequest(type="kubernetes:apps/v1:Deployment", id="rec/web", news=news, preview=True)
    assert plugin.stub.Update(update).properties == news


def test_reading_and_deleting_without_a_cluster_fail_and_say_the_way_out(plugin: Plugin) -> None:
    assert "unreachable" in refused(plugin, "Read", messages.ReadRequest(type=CONFIG_MAP, id="rec/a"))
    delete = messages.DeleteRequest(type=CONFIG_MAP, id="rec/a")
    assert "PULUMI_K8S_DELETE_UNREACHABLE=true" in refused(plugin, "Delete", delete)
    plugin.configure(deleteUnreachable="true")
    plugin.stub.Delete(delete)
    assert plugin.stub.Read(messages.ReadRequest(type=CONFIG_MAP, id="rec/a")).id == ""


def test_a_provider_that_leads_to_another_cluster_is_replaced(plugin: Plugin) -> None:
    def answer(kubeconfig: str) -> messages.DiffResponse:
        old, new = ({"kubeconfig": one} for one in (UNREACHABLE_KUBECONFIG, kubeconfig))
        diff: messages.DiffResponse = plugin.stub.DiffConfig(
            messages.DiffRequest(old_inputs=to_struct(old), news=to_struct(new))
        )
        return diff

    assert list(answer(UNREACHABLE_KUBECONFIG.replace(":9", ":10")).replaces) == ["kubeconfig"]
    renewed = answer(UNREACHABLE_KUBECONFIG.replace("token: none", "token: new"))
    assert renewed.changes == messages.DiffResponse.DIFF_SOME
    assert not renewed.replaces


@pytest.mark.parametrize(
    ("method", "request_", "what"),
    [
        ("Invoke", messages.InvokeRequest(tok="kubernetes:yaml:decode"), "kubernetes:yaml:decode"),
        ("Construct", messages.ConstructRequest(type="kubernetes:helm.sh/v4:Chart"), "kubernetes:helm.sh/v4:Chart"),
        ("GetSchema", messages.GetSchemaRequest(), "GetSchema"),
        ("Check", messages.CheckRequest(type="kubernetes:apps/v1:DeploymentPatch"), "DeploymentPatch"),
    ],
)
def test_what_it_cannot_do_is_one_sentence(plugin: Plugin, method: str, request_: object, what: str) -> None:
    sentence = refused(plugin, method, request_)
    assert what in sentence
    assert "stand-in" in sentence


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command, environment = [sys.executable, "-m", "lab.kubernetes_plugin"], {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_the_process_prints_its_port_and_ends_when_the_engine_says_so(process: subprocess.Popen[str]) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port_of(process)}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        assert stub.GetPluginInfo(empty_pb2.Empty()).version == "4.32.0"
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 0


def test_the_keys_of_the_kubeconfig_are_in_no_file_afterwards(process: subprocess.Popen[str], tmp_path: Path) -> None:
    key = base64.b64encode(b"a client's key").decode()
    kubeconfig = UNREACHABLE_KUBECONFIG.replace("{token: none}", f"{{client-key-data: {key}}}")
    with grpc.insecure_channel(f"127.0.0.1:{port_of(process)}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        request = messages.ConfigureRequest()
        request.args.update({"kubeconfig": kubeconfig})
        stub.Configure(request)
        with pytest.raises(grpc.RpcError):
            stub.Read(messages.ReadRequest(type=CONFIG_MAP, id="team/settings"))
        assert [file.read_text() for file in tmp_path.glob("*/*")] == ["a client's key"]
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_process_does_not_outlive_an_engine_that_was_killed() -> None:
    starts_one = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'lab.kubernetes_plugin'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    engine = subprocess.Popen([sys.executable, "-c", starts_one], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    with engine:
        assert engine.stdout is not None
        plugin_id = int(engine.stdout.readline())
        int(engine.stdout.readline())  # the plugin serves
        engine.kill()
    watched = os.pidfd_open(plugin_id)
    ended, _, _ = select.select([watched], [], [], 10)
    os.close(watched)
    assert ended


def test_starting_does_not_load_the_sdk_nor_the_kubernetes_client() -> None:
    lists_modules = "import sys, lab.kubernetes_plugin.provider; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", lists_modules], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout.split()
    assert "pulumi.runtime.proto.provider_pb2" in loaded
    assert "pulumi.resource" not in loaded
    assert "kubernetes" not in loaded
