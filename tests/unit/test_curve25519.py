import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import curve25519


def test_generated_keys_differ() -> None:
    assert curve25519.generate_private_key() != curve25519.generate_private_key()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "short",
        "A" * 44,
        "A" * 42 + "B=",  # decodes to 32 bytes, but is not how wg writes them
        " " + "A" * 43 + "=",
        "A" * 43 + "=\n",
        "é" * 44,
        "nodekey:" + "0" * 64,
    ],
)
def test_what_is_no_key(text: str) -> None:
    assert not curve25519.is_key(text)
    with pytest.raises(ValueError, match="the peer's key is not a WireGuard key: 44 characters"):
        curve25519.parse_key(text, "the peer's key")


def test_error_about_a_private_key_does_not_show_it() -> None:
    secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
    with pytest.raises(ValueError, match="the private key") as error:
        curve25519.public_key(secret)
    assert secret not in str(error.value)


def test_node_key_to_wireguard() -> None:
    # headscale.md, section 3
    node_key = "nodekey:f345865a014ff6adde535e8cb8b248481d5fcc0bb62ccda17ac7219a89154955"
    assert curve25519.node_key_to_wireguard(node_key) == "80WGWgFP9q3eU16MuLJISB1fzAu2LM2heschmokVSVU="


@given(st.binary(min_size=32, max_size=32))
def test_every_node_key_becomes_a_key(key: bytes) -> None:
    assert curve25519.parse_key(curve25519.node_key_to_wireguard(f"nodekey:{key.hex()}")) == key


@pytest.mark.parametrize("text", ["", "nodekey:", "nodekey:xyz", "nodekey:" + "0" * 62, "mkey:" + "0" * 64, "0" * 64])
def test_what_is_no_node_key(text: str) -> None:
    with pytest.raises(ValueError, match="not a node key"):
        curve25519.node_key_to_wireguard(text)
