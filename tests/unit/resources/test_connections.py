"""What a provider is told when the settings lead to no server."""

import json

import pytest

from infra.resources.connections import Connections, NoServerError, settings_by

PLAIN = {"gateways": json.dumps([{"name": "one", "endpoint": "vpn.example.com:31820"}])}


def test_whoever_leaves_the_mesh_too_early_is_told_the_way() -> None:
    with pytest.raises(NoServerError, match=r"meshgate:headscale: it is missing, .* \(`mesh: false`, then"):
        Connections(settings_by(PLAIN.get)).headscale_with("a key")
