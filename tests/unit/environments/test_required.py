"""What an environment must say, so that what `make new-env` writes can be deployed."""

from typing import Any

import pytest

from environments import required
from environments.answers import AnswerError, whole

DIGEST = f"sha256:{'0' * 64}"
GATEWAY = {
    "name": "one",
    "endpoint": "vpn.example.com:31820",
    "image": f"registry.example.com/gateway@{DIGEST}",
    "tailscale_image": f"tailscale/tailscale:v1.102.3@{DIGEST}",
}
HEADSCALE = {"managed": True, "url": "https://headscale.example.com", "image": f"headscale/headscale:0.29.3@{DIGEST}"}
METAL = {"name": "edge", "endpoint": "edge.example.com:51820", "target": "metal", "client_networks": ["10.78.0.0/16"]}
GOOD = {"protect": False, "headscale": HEADSCALE, "gateways": [GATEWAY, METAL]}


def test_who_says_all_of_it_is_let_through() -> None:
    required.refuse_missing(whole(GOOD))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"protect": None},
            "meshgate:protect: it is missing; write true to have Pulumi keep what cannot be had again ",
        ),
        (
            {"headscale": HEADSCALE | {"image": "headscale/headscale:0.29.3"}},
            "meshgate:headscale.image: headscale/headscale:0.29.3 has no digest; write "
            "headscale/headscale:0.29.3@sha256:…, as `docker pull` prints it.",
        ),
        (
            {"gateways": [GATEWAY | {"image": "acme/gateway:1"}]},
            "meshgate:gateways[0].image: acme/gateway:1 has no digest; write acme/gateway:1@sha256:…, "
            "as `docker push` prints it.",
        ),
        (
            {"gateways": [GATEWAY | {"tailscale_image": "tailscale/tailscale@sha256:12"}]},
            "meshgate:gateways[0].tailscale_image: tailscale/tailscale@sha256:12 has no digest; write ",
        ),
    ],
)
def test_what_is_missing_is_told(change: dict[str, Any], sentence: str) -> None:
    values = {name: value for name, value in (GOOD | change).items() if value is not None}
    with pytest.raises(AnswerError) as caught:
        required.refuse_missing(whole(values))
    (told,) = str(caught.value).splitlines()
    assert told.startswith(sentence)


def test_all_of_it_is_told_at_once() -> None:
    bare = {name: GATEWAY[name] for name in ("name", "endpoint")}
    with pytest.raises(AnswerError) as caught:
        required.refuse_missing(whole({"headscale": HEADSCALE, "gateways": [bare]}))
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        "meshgate:protect",
        "meshgate:gateways[0].image",
        "meshgate:gateways[0].tailscale_image",
    ]


def test_a_digest_alone_is_of_the_image_that_was_asked_for() -> None:
    assert required.with_digest("acme/one:1", DIGEST) == f"acme/one:1@{DIGEST}"
    assert required.with_digest("acme/one:1", f"acme/two@{DIGEST}") == f"acme/two@{DIGEST}"
