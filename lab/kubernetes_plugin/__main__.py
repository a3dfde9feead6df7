"""`python -m lab.kubernetes_plugin ENGINE_ADDRESS`: serve on a free loopback port and print it.

Pulumi starts its plugins like that. The first line of stdout is the port, the rest of stdout goes into the log.
"""

import os
import signal
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryDirectory
from typing import Never

import grpc

from lab.kubernetes_plugin.engine_log import EngineLog
from lab.kubernetes_plugin.provider import KubernetesProvider
from lab.kubernetes_plugin.pulumi_stubs import provider_pb2_grpc

_THREADS = 64
"""Calls at the same time; many of them only wait for an object to become ready."""

_PARENT_CHECK_SECONDS = 1.0


def main(arguments: list[str]) -> None:
    """Serve until the engine ends this process, or has ended itself."""
    # The client library makes files of the kubeconfig's certificates and keys.
    files = TemporaryDirectory(prefix="meshgate-kubernetes-plugin-", ignore_cleanup_errors=True)
    tempfile.tempdir = files.name
    # The engine's way to say goodbye; a user's Ctrl-C does not reach the process group of a plugin.
    signal.signal(signal.SIGINT, lambda *_: _end(files))
    engine_process = os.getppid()
    server = grpc.server(
        ThreadPoolExecutor(_THREADS),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    engine = EngineLog(arguments[0] if arguments else None)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(KubernetesProvider(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    # An engine that was killed leaves its plugins behind: this one notices and ends.
    while server.wait_for_termination(timeout=_PARENT_CHECK_SECONDS) and os.getppid() == engine_process:
        pass
    _end(files)


def _end(files: TemporaryDirectory[str]) -> Never:
    """End at once: operations that still wait belong to nobody any more."""
    files.cleanup()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
