"""What the plugin says to the engine, and so to the user at the terminal."""

import contextlib

import grpc

from lab.kubernetes_plugin.pulumi_stubs import engine_pb2, engine_pb2_grpc


class EngineLog:
    """The engine's log. A message that cannot be delivered is dropped: it must not fail the operation."""

    def __init__(self, address: str | None) -> None:
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address)) if address else None

    def info(self, message: str) -> None:
        """Log a message that stays on the screen, for the stack as a whole."""
        self._log(message, "", engine_pb2.INFO, ephemeral=False)

    def warn(self, urn: str, message: str) -> None:
        """Log a warning at a resource."""
        self._log(message, urn, engine_pb2.WARNING, ephemeral=False)

    def status(self, urn: str, message: str) -> None:
        """Show a line of progress at a resource; the next one takes its place."""
        self._log(message, urn, engine_pb2.INFO, ephemeral=True)

    def _log(self, message: str, urn: str, severity: engine_pb2.LogSeverity.ValueType, *, ephemeral: bool) -> None:
        if self._stub is None:
            return
        request = engine_pb2.LogRequest(message=message, urn=urn, severity=severity, ephemeral=ephemeral)
        with contextlib.suppress(grpc.RpcError):
            self._stub.Log(request)
