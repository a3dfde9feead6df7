"""What our providers log, as diagnostics of the engine: a line on the plugin's stderr is no warning to it.

The engine tells its address to a plugin as the first argument, which Pulumi's Python host of dynamic providers ignores.
"""

import logging
import re
import sys
from typing import TextIO

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc
from typing_extensions import override


class EngineHandler(logging.StreamHandler[TextIO]):
    """Hands warnings and errors over to the engine at that address; to stderr when it cannot be reached."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    @override
    def emit(self, record: logging.LogRecord) -> None:
        severity = engine_pb2.ERROR if record.levelno >= logging.ERROR else engine_pb2.WARNING
        try:
            self._engine.Log(engine_pb2.LogRequest(severity=severity, message=record.getMessage()), timeout=10)
        except grpc.RpcError:
            super().emit(record)


def attach(log: logging.Logger) -> None:
    """Let the log speak to the engine, where one has started this process."""
    address = next(iter(sys.argv[1:]), "")
    attached = any(isinstance(handler, EngineHandler) for handler in log.handlers)
    if not attached and re.fullmatch(r"127\.0\.0\.1:\d+", address):
        log.addHandler(EngineHandler(address))
