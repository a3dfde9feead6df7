"""Pulumi's generated gRPC stubs, imported without the rest of the Pulumi SDK.

`import pulumi.runtime.proto` first runs `pulumi/__init__.py`, which loads the whole SDK: a second
of work on every `pulumi preview`, of which a plugin needs nothing. In a process of its own the
plugin therefore puts empty parent packages in place before it imports the stubs; where the SDK is
loaded already (tests), that is used.
"""

import sys
from importlib.machinery import PathFinder
from types import ModuleType


def _skip_package_code(name: str, path: list[str] | None = None) -> list[str]:
    """Register package `name` without running its `__init__.py`; return where its modules are."""
    spec = PathFinder.find_spec(name, path)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"The Pulumi SDK is not installed for {sys.executable}: no package {name}.")
    package = ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = package
    return package.__path__


if "pulumi" not in sys.modules:
    _sdk = _skip_package_code("pulumi")
    _runtime = _skip_package_code("pulumi.runtime", _sdk)
    _skip_package_code("pulumi.runtime.proto", _runtime)

# The order is the point of this module.
from pulumi.runtime.proto import (  # noqa: E402
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
)

__all__ = ["engine_pb2", "engine_pb2_grpc", "plugin_pb2", "provider_pb2", "provider_pb2_grpc"]
