"""What somebody is told who is about to destroy a protected stack."""

from typing import Any

from policy.declared import DeclaredResource
from policy.kept import kept, refusal
from tests.unit.policy.objects import resource

KEY = resource("pulumi-python:dynamic/meshgate:WireGuardKey", "one-key", {}, protect=True)
TOKEN = resource("pulumi-python:dynamic/meshgate:Token", "one-token", {})
SERVICE = resource("kubernetes:core/v1:Service", "peers", {}, protect=True)


def export(*resources: DeclaredResource) -> dict[str, Any]:
    states = [{"urn": one.urn, "type": one.type, "protect": one.protect} for one in resources]
    return {"version": 3, "deployment": {"resources": states}}


def test_nothing_is_protected() -> None:
    assert list(kept(export(TOKEN))) == []
    assert list(kept({"version": 3, "deployment": {}})) == []


def test_each_protected_resource_is_told_with_what_is_lost_and_how_to_mean_it() -> None:
    found = list(kept(export(TOKEN, KEY, SERVICE)))
    assert refusal(found).splitlines() == [
        "`pulumi destroy` is refused. It would lose for good:",
        "  WireGuardKey one-key: the gateway's private key: every client's config names its public key, and a new one "
        "makes them all useless",
        "  Service peers: protected by hand",
        "To mean it: `pulumi config set protect false`, `pulumi up`, then `pulumi destroy`.",
        f"To let go of one alone: `pulumi state unprotect '{KEY.urn}'`.",
    ]
