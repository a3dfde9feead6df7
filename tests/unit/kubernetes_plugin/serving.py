"""The plugin served in this process, with an engine that remembers what it was told."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc

from lab.kubernetes_plugin.engine_log import EngineLog
from lab.kubernetes_plugin.provider import KubernetesProvider

UNREACHABLE_KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: lab
contexts: [{name: lab, context: {cluster: lab, user: me, namespace: team}}]
clusters: [{name: lab, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: me, user: {token: none}}]
"""
"""Nothing listens there (the discard port)."""


@dataclass
class FakeEngine(engine_pb2_grpc.EngineServicer):
    """Remembers (severity, ephemeral, message) of each line that the plugin logs."""

    lines: list[tuple[str, bool, str]] = field(default_factory=list)

    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        severity = engine_pb2.LogSeverity.Name(request.severity)
        self.lines.append((severity, request.ephemeral, request.message))
        return empty_pb2.Empty()


@dataclass(frozen=True)
class Plugin:
    """A running plugin: `stub` calls it, `engine` hears it."""

    stub: Any
    engine: FakeEngine

    def configure(self, **arguments: str) -> None:
        request = provider_pb2.ConfigureRequest()
        request.args.update({"kubeconfig": UNREACHABLE_KUBECONFIG, **arguments})
        self.stub.Configure(request)


@contextmanager
def serving(kubeconfig: Path | None = None) -> Iterator[Plugin]:
    """Serve the plugin and the engine on loopback; with a kubeconfig, configured for its cluster."""
    heard = FakeEngine()
    with ThreadPoolExecutor(8) as threads, ThreadPoolExecutor(8) as engine_threads:
        engine_server, server = grpc.server(engine_threads), grpc.server(threads)
        engine_pb2_grpc.add_EngineServicer_to_server(heard, engine_server)
        engine_address = f"127.0.0.1:{engine_server.add_insecure_port('127.0.0.1:0')}"
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(KubernetesProvider(EngineLog(engine_address)), server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        engine_server.start()
        server.start()
        with grpc.insecure_channel(address) as channel:
            plugin = Plugin(provider_pb2_grpc.ResourceProviderStub(channel), heard)
            plugin.configure(**({"kubeconfig": str(kubeconfig)} if kubeconfig else {}))
            yield plugin
        server.stop(grace=None).wait()
        engine_server.stop(grace=None).wait()
