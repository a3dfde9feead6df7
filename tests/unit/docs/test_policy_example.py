"""The policy that docs/your-own-cluster.md shows is one, and lets the gateway that it shows in."""

from pathlib import Path

import yaml
from markdown_it import MarkdownIt

from gateway.headscale.policy import read
from gateway.headscale.policy_reach import GatewayNode, complaints
from infra.settings.loading import load

PAGE = Path(__file__).parents[3] / "docs" / "your-own-cluster.md"


def test_the_policy_of_the_page_lets_its_gateway_in() -> None:
    (block,) = [
        token.content
        for token in MarkdownIt().parse(PAGE.read_text())
        if "policy:" in token.content and token.type == "fence"
    ]
    config = {name.removeprefix("meshgate:"): value for name, value in yaml.safe_load(block).items()}
    settings = load({**config, "headscale_api_key": "a key"}.get)
    (gateway,) = settings.gateways
    assert settings.headscale
    assert settings.headscale.policy
    node = GatewayNode(gateway.hostname, "meshgate-prod", gateway.tags)
    assert not list(complaints(read(settings.headscale.policy), node, tags_need_owners=True))
