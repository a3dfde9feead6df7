"""Our answers in the protocol's messages."""

import grpc
from google.protobuf import any_pb2
from google.rpc import status_pb2

from lab.kubernetes_plugin.diff import Difference
from lab.kubernetes_plugin.errors import PartialFailureError
from lab.kubernetes_plugin.names import Autonaming
from lab.kubernetes_plugin.properties import to_struct
from lab.kubernetes_plugin.pulumi_stubs import provider_pb2
from lab.kubernetes_plugin.structure import Failure


def autonaming(request: provider_pb2.CheckRequest) -> Autonaming | None:
    """Read how the engine wants objects to be named; None for the plugin's own way."""
    if not request.HasField("autonaming"):
        return None
    disabled = request.autonaming.mode == provider_pb2.CheckRequest.AutonamingOptions.DISABLE
    return Autonaming(request.autonaming.proposed_name, disabled)


def check_failure(failure: Failure) -> provider_pb2.CheckFailure:
    """Write one thing that is wrong with the inputs."""
    return provider_pb2.CheckFailure(property=failure.property, reason=failure.reason)


def diff_response(difference: Difference) -> provider_pb2.DiffResponse:
    """Write what changes; the official plugin always gives the detailed form."""
    response = provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if difference.changes else provider_pb2.DiffResponse.DIFF_NONE,
        replaces=difference.replaces,
        deleteBeforeReplace=difference.delete_before_replace,
        hasDetailedDiff=True,
    )
    for path, change in difference.changes.items():
        name = f"{change.value}_REPLACE" if path in difference.replaces else change.value
        response.detailedDiff[path].kind = provider_pb2.PropertyDiff.Kind.Value(name)
    return response


def partial_status(failure: PartialFailureError) -> bytes:
    """Pack a partial failure as google.rpc.Status, where the engine looks for it."""
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=failure.resource_id,
            properties=to_struct(failure.outputs),
            reasons=failure.reasons,
            inputs=to_struct(failure.inputs) if failure.inputs is not None else None,
        )
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(failure), details=[detail])
    packed: bytes = status.SerializeToString()
    return packed
