"""The gRPC service that Pulumi's engine calls: it translates, `check`, `diff` and `crud` decide.

RPCs of the protocol that are not here answer "unimplemented". Handshake is one of them, as in the official plugin: the
engine then asks for GetPluginInfo and goes on.
"""

# ruff: noqa: ARG002, N802 (names and parameters are those of the protocol)

import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import NoReturn, TypeVar

import grpc
from google.protobuf import empty_pb2

from lab.kubernetes_plugin import VERSION, crud, messages, provider_settings, state
from lab.kubernetes_plugin.await_.wait import Waiter
from lab.kubernetes_plugin.check import PluginResource, check
from lab.kubernetes_plugin.diff import diff
from lab.kubernetes_plugin.engine_log import EngineLog
from lab.kubernetes_plugin.errors import ClusterUnreachableError, PartialFailureError, PluginError
from lab.kubernetes_plugin.kinds import parse_type, replacing_fields
from lab.kubernetes_plugin.kubeconfig import load_configuration
from lab.kubernetes_plugin.object_client import ObjectClient
from lab.kubernetes_plugin.operation import Operation
from lab.kubernetes_plugin.properties import from_struct, to_struct
from lab.kubernetes_plugin.provider_settings import ProviderSettings
from lab.kubernetes_plugin.pulumi_stubs import plugin_pb2, provider_pb2, provider_pb2_grpc
from lab.kubernetes_plugin.structure import Failure
from lab.kubernetes_plugin.submit import immutable_fields

STAND_IN_NOTICE = (
    f"Kubernetes resources are handled by the lab's stand-in for pulumi-resource-kubernetes v{VERSION}, "
    "because the official plugin could not be had on this machine."
)

_ResourceRequest = (
    provider_pb2.DiffRequest
    | provider_pb2.CreateRequest
    | provider_pb2.UpdateRequest
    | provider_pb2.ReadRequest
    | provider_pb2.DeleteRequest
)
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Method = Callable[["KubernetesProvider", _Request, grpc.ServicerContext], _Response]


def _reporting(method: _Method[_Request, _Response]) -> _Method[_Request, _Response]:
    """Answer with the sentence of a PluginError, and with the object's state where it went halfway."""

    @wraps(method)
    def call(self: "KubernetesProvider", request: _Request, context: grpc.ServicerContext) -> _Response:
        try:
            return method(self, request, context)
        except PartialFailureError as failure:
            context.set_trailing_metadata((("grpc-status-details-bin", messages.partial_status(failure)),))
            _abort(context, grpc.StatusCode.UNKNOWN, failure)
        except PluginError as error:
            _abort(context, grpc.StatusCode.UNKNOWN, error)

    return call


class KubernetesProvider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider: configured once, then called from many threads."""

    def __init__(self, engine: EngineLog) -> None:
        self._engine = engine
        self._settings = ProviderSettings()
        self._client = ObjectClient(self._settings)
        self._cancelled = threading.Event()
        self._unreachable_told = threading.Event()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        """Answer with the version that this plugin stands in for."""
        return plugin_pb2.PluginInfo(version=VERSION)

    @_reporting
    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Accept the provider's settings, or say which one cannot be honoured."""
        failures = [Failure(name, reason) for name, reason in provider_settings.failures(from_struct(request.news))]
        return provider_pb2.CheckResponse(inputs=request.news, failures=map(messages.check_failure, failures))

    @_reporting
    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        """Replace the provider, and with it all its resources, only when it leads to another cluster."""
        old, new = from_struct(request.old_inputs or request.olds), from_struct(request.news)
        changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
        if not changed:
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
        moved = _host(provider_settings.parse(old)) != _host(provider_settings.parse(new))
        replaces = [key for key in changed if moved and key in ("kubeconfig", "context")]
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_SOME, diffs=changed, replaces=replaces)

    @_reporting
    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        """Keep the settings; the API server is not asked yet."""
        self._settings = provider_settings.parse(from_struct(request.args))
        self._client = ObjectClient(self._settings)
        self._engine.info(STAND_IN_NOTICE)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    @_reporting
    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        """Fill in the inputs, or say what is wrong with them."""
        resource = PluginResource(
            name=request.name,
            kind=parse_type(request.type),
            seed=request.randomSeed,
            autonaming=messages.autonaming(request),
        )
        inputs, failures = check(
            resource,
            from_struct(request.news),
            from_struct(request.olds),
            namespaced=self._client.namespaced,
            default_namespace=self._client.default_namespace,
        )
        return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=map(messages.check_failure, failures))

    @_reporting
    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        """Say what changes, and whether that needs a new object."""
        operation = self._operation(request)
        old = from_struct(request.old_inputs) or state.kept_inputs(from_struct(request.olds))
        difference = diff(
            old,
            from_struct(request.news),
            replacing=replacing_fields(operation.kind, mutable=self._settings.mutable_kinds),
            immutable=partial(immutable_fields, operation, request.id),
        )
        return messages.diff_response(difference)

    @_reporting
    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        """Make an object, or preview that."""
        operation, inputs = self._operation(request, request.timeout), from_struct(request.properties)
        if not request.preview:
            resource_id, outputs = crud.create(operation, inputs)
            return provider_pb2.CreateResponse(id=resource_id, properties=to_struct(outputs))
        if not self._settings.known:
            return provider_pb2.CreateResponse(properties=request.properties)
        return provider_pb2.CreateResponse(properties=to_struct(crud.preview_create(operation, inputs)))

    @_reporting
    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        """FieldChange an object in place, or preview that."""
        operation = self._operation(request, request.timeout)
        inputs, old = from_struct(request.news), from_struct(request.olds)
        if request.preview and not self._settings.known:
            return provider_pb2.UpdateResponse(properties=request.news)
        change = crud.preview_update if request.preview else crud.update
        return provider_pb2.UpdateResponse(properties=to_struct(change(operation, request.id, inputs, old)))

    @_reporting
    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        """Return an object as it is now; an empty answer says that it is gone."""
        inputs, old = from_struct(request.inputs), from_struct(request.properties)
        try:
            found = crud.read(self._operation(request), request.id, inputs, old)
        except ClusterUnreachableError:
            if not self._settings.delete_unreachable:
                raise
            found = None
        if found is None:
            return provider_pb2.ReadResponse()
        current, outputs = found
        return provider_pb2.ReadResponse(id=request.id, properties=to_struct(outputs), inputs=to_struct(current))

    @_reporting
    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Delete an object and wait until it is gone."""
        operation = self._operation(request, request.timeout)
        try:
            crud.delete(operation, request.id, from_struct(request.properties))
        except ClusterUnreachableError as error:
            if not self._settings.delete_unreachable:
                raise PluginError(
                    f"{error}. If the cluster was deleted, you can remove this resource from Pulumi state by "
                    "rerunning the operation with PULUMI_K8S_DELETE_UNREACHABLE=true in the environment."
                ) from error
        return empty_pb2.Empty()

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """End every wait."""
        self._cancelled.set()
        return empty_pb2.Empty()

    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> NoReturn:
        """Refuse: the plugin's functions render YAML, Helm and Kustomize."""
        _refuse(context, f"the function {request.tok}")

    def Call(self, request: provider_pb2.CallRequest, context: grpc.ServicerContext) -> NoReturn:
        """Refuse: no resource of the plugin has methods."""
        _refuse(context, f"the method {request.tok}")

    def Construct(self, request: provider_pb2.ConstructRequest, context: grpc.ServicerContext) -> NoReturn:
        """Refuse: the plugin's components render YAML, Helm and Kustomize."""
        _refuse(context, f"the component {request.type}")

    def GetSchema(self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext) -> NoReturn:
        """Refuse: programs in YAML and generated code need the official plugin."""
        _refuse(context, "GetSchema")

    def _operation(self, request: _ResourceRequest, timeout: float = 0.0) -> Operation:
        waiter = Waiter(partial(self._engine.status, request.urn), self._cancelled, timeout or None)
        return Operation(
            urn=request.urn,
            kind=parse_type(request.type),
            client=self._client,
            settings=self._settings,
            waiter=waiter,
            warn=partial(self._warn_once, request.urn),
        )

    def _warn_once(self, urn: str, message: str) -> None:
        """Say once, not at every resource, that there is no cluster."""
        if not self._unreachable_told.is_set():
            self._unreachable_told.set()
            self._engine.warn(urn, message)


def _host(provider: ProviderSettings) -> str | None:
    """Return the API server's URL; None when the kubeconfig cannot tell (yet)."""
    try:
        host: str = load_configuration(provider).host
    except ClusterUnreachableError:
        return None
    return host


def _refuse(context: grpc.ServicerContext, what: str) -> NoReturn:
    sentence = f"The stand-in for Pulumi's Kubernetes plugin does not support {what}: the official plugin is needed."
    _abort(context, grpc.StatusCode.UNIMPLEMENTED, PluginError(sentence))


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, error: PluginError) -> NoReturn:
    context.abort(code, str(error))
    raise AssertionError("abort() raises")
