"""The log of a provider's process, at an engine of its own."""

import logging
import sys
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from infra.resources import engine_log

Told = list[tuple[int, str]]


class _Engine(engine_pb2_grpc.EngineServicer):
    def __init__(self) -> None:
        self.told: Told = []

    def Log(self, request: Any, context: object) -> Any:  # noqa: N802, ANN401 (gRPC's)
        del context
        self.told.append((request.severity, request.message))
        return empty_pb2.Empty()


@pytest.fixture
def log() -> logging.Logger:
    return logging.Logger("meshgate")


def test_a_warning_is_the_engines(log: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _Engine()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setattr(sys, "argv", ["pulumi.dynamic", f"127.0.0.1:{port}", "/srv/stack"])
    for _ in range(2):
        engine_log.attach(log)
    log.info("nothing to tell")
    log.warning("the key ends in %d days", 13)
    server.stop(0).wait()
    assert engine.told == [(engine_pb2.WARNING, "the key ends in 13 days")]


def test_without_an_engine_it_is_on_stderr(
    log: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pulumi.dynamic", "127.0.0.1:1"])
    engine_log.attach(log)
    log.warning("the key ends")
    assert capsys.readouterr().err == "the key ends\n"


@pytest.mark.parametrize("arguments", [[], ["-q"], ["tests/unit"]])
def test_another_process_is_left_alone(
    log: logging.Logger, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest", *arguments])
    engine_log.attach(log)
    assert not log.handlers
