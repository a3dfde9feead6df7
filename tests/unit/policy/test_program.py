"""The real program, seen through Pulumi's mocks, breaks no rule; with settings that would, it is told."""

import json
import runpy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pulumi
import pytest
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockMonitor, set_mocks
from pulumi.runtime.settings import SETTINGS, set_root_resource
from pulumi.runtime.stack import run_in_stack

from infra.protection import KEPT
from policy.declared import SECRET, DeclaredResource, DeclaredStack
from policy.violations import broken
from tests.unit import test_program
from tests.unit.policy.objects import DIGEST
from tests.unit.test_program import CONFIG, EDGE, PROGRAM, ROTATED, Recorder

pytestmark = test_program.pytestmark
sdks_event_loops = test_program.sdks_event_loops

GATEWAY = CONFIG["gateways"][0] | {
    name: f"registry.example.com/{name}@{DIGEST}" for name in ("image", "tailscale_image")
}
HEADSCALE = CONFIG["headscale"] | {"image": f"headscale/headscale:0.29.3@{DIGEST}"}


class Monitor(MockMonitor):
    """Keeps what the mocks are not told: what the engine is to protect, what others depend on, components' outputs."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.declared: dict[str, DeclaredResource] = {}
        self.custom: set[str] = set()
        self.needed: set[str] = set()

    def RegisterResource(self, request: Any) -> object:  # noqa: ANN401, N802 (the protocol's)
        urn = self.make_urn(request.parent, request.type, request.name)
        self.declared[urn] = DeclaredResource(urn, request.type, _plain(request.object), request.protect)
        if not request.type.endswith(":Verdict"):  # with it nothing is lost
            self.custom |= {urn} if request.custom else set()
            self.needed |= {*request.dependencies, request.provider.rpartition("::")[0]}
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def RegisterResourceOutputs(self, request: Any) -> object:  # noqa: ANN401, N802 (the protocol's)
        self.declared[request.urn] = replace(self.declared[request.urn], props=_plain(request.outputs))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def _plain(properties: Any) -> Any:  # noqa: ANN401 (JSON)
    """As a preview shows them: secrets masked."""
    return _masked(rpc.deserialize_properties(properties))


def _masked(value: Any) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, Mapping):
        return SECRET if test_program.SECRET in value else {key: _masked(inner) for key, inner in value.items()}
    return [_masked(inner) for inner in value] if isinstance(value, list) else value


async def declare(stack: str, **settings: object) -> Monitor:
    """Run the program with these settings."""
    recorder = Recorder()
    monitor = Monitor(recorder)
    set_mocks(recorder, project="meshgate", stack=stack, preview=False, monitor=monitor)
    set_root_resource(None)  # type: ignore[arg-type]
    pulumi.runtime.set_all_config({f"meshgate:{key}": json.dumps(value) for key, value in settings.items()})
    SETTINGS.rpc_manager.clear()
    SETTINGS.outputs.clear()
    await run_in_stack(_program)
    return monitor


def _program() -> None:
    runpy.run_path(str(PROGRAM), run_name="__main__")


async def rules_broken(stack: str = "prod", *, protect: bool | None = True, **changes: object) -> set[str]:
    """The names of the rules that the program breaks, and the resources that break them."""
    settings = CONFIG | {"gateways": [GATEWAY], "headscale": HEADSCALE} | changes
    settings |= {} if protect is None else {"protect": protect}
    declared = (await declare(stack, **settings)).declared
    found = broken([*declared.values()], DeclaredStack(stack, protect))
    return {f"{one.rule}: {one.urn.rpartition('::')[2]}" for one in found}


async def test_the_program_breaks_no_rule() -> None:
    assert await rules_broken() == set()
    assert await rules_broken(gateways=[GATEWAY, EDGE]) == set()
    assert await rules_broken(gateways=[GATEWAY | {"exposure": "HostPort"}], orchestrator={}) == set()
    assert await rules_broken(gateways=[GATEWAY | ROTATED]) == set()
    assert await rules_broken(protect=False) == set()


async def test_the_lab_breaks_no_rule() -> None:
    assert await rules_broken("lab", protect=None, **CONFIG) == set()


async def test_images_by_tag_are_told() -> None:
    assert await rules_broken(**CONFIG) == {"image-by-digest: one-gateway", "image-by-digest: server"}


async def test_a_stack_that_does_not_say_whether_it_may_lose_all_is_told() -> None:
    kept = {"namespace", "user", "one-key", "one-exit-node", "one-state", "state", "env", "client-configs"}
    assert await rules_broken(protect=None) == {f"nothing-lost: {name}" for name in kept}


@pytest.mark.parametrize("protect", [True, False, None])
async def test_the_engine_protects_what_the_setting_says_and_nothing_else(protect: bool | None) -> None:
    settings = CONFIG | {"gateways": [CONFIG["gateways"][0], EDGE]}
    settings |= {} if protect is None else {"protect": protect}
    resources = (await declare("prod", **settings)).declared.values()
    protected = {one.name for one in resources if one.protect}
    assert protected == ({one.name for one in resources if one.type in KEPT} if protect else set())


async def test_what_goes_first_is_protected_so_that_a_destroy_without_preview_takes_nothing() -> None:
    monitor = await declare("prod", **CONFIG, protect=True)
    first = monitor.custom - monitor.needed
    assert {urn.rpartition("::")[2] for urn in first} == {"env", "client-configs"}
    assert all(monitor.declared[urn].protect for urn in first)
