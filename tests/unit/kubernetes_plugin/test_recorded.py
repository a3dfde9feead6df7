"""The stand-in answers like the official plugin did, message for message, over a real gRPC connection."""

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import provider_pb2 as messages

from lab.kubernetes_plugin.properties import from_struct
from tests.unit.kubernetes_plugin.recorded import CASES, CASES_THAT_ASK_THE_SERVER, Recorded, config_map
from tests.unit.kubernetes_plugin.serving import Plugin, serving

REQUESTS = {
    "Check": messages.CheckRequest,
    "CheckConfig": messages.CheckRequest,
    "Configure": messages.ConfigureRequest,
    "Diff": messages.DiffRequest,
    "DiffConfig": messages.DiffRequest,
    "GetPluginInfo": empty_pb2.Empty,
}


@pytest.fixture
def plugin() -> Iterator[Plugin]:
    with serving() as running:
        yield running


@pytest.mark.parametrize("case", [*CASES, *CASES_THAT_ASK_THE_SERVER], ids=lambda case: case.fact)
def test_answers_as_recorded(plugin: Plugin, case: Recorded) -> None:
    request = json_format.ParseDict(case.request, REQUESTS[case.method]())
    answer = getattr(plugin.stub, case.method)(request)
    assert answer == json_format.ParseDict(case.response, type(answer)())


def test_handshake_is_not_implemented_as_in_the_official_plugin(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        plugin.stub.Handshake(messages.ProviderHandshakeRequest(engine_address="127.0.0.1:1"))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_an_unnamed_object_is_named_and_marked_so(plugin: Plugin) -> None:
    request = messages.CheckRequest(name="cm", type="kubernetes:core/v1:ConfigMap", randomSeed=b"seed")
    request.news.update(config_map("1"))
    first, again = (from_struct(plugin.stub.Check(request).inputs)["metadata"] for _ in range(2))
    prefix, digits = first["name"].split("-")
    assert prefix == "cm"
    assert len(digits) == 8
    assert int(digits, 16) >= 0
    assert first["annotations"] == {"pulumi.com/autonamed": "true"}
    assert again == first, "the engine's seed decides, so that `pulumi up` makes what the preview showed"
