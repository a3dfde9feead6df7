import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agent.protocols.wireguard.keys import check_key, check_preshared_key, check_public_key, key_from_path
from tests.unit.agent.fakes import key_pair

KEY = "hIA3ikjlSOAo0qqrI+rXaS3ZH04nx7Q2YQ4m2Syzi38="


def test_a_real_key_is_a_key() -> None:
    public = key_pair().public
    assert check_public_key(public) == public
    assert key_from_path(public) == public
    assert key_from_path(public.replace("+", "-").replace("/", "_")) == public


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PLACEHOLDER",
        KEY[:-1],  # no padding
        KEY + "\n",
        " " + KEY,
        KEY[:-2] + "9=",  # bits beyond the 256th
        base64.b64encode(bytes(31)).decode(),
        base64.b64encode(bytes(33)).decode(),
        "nodekey:" + "ab" * 32,
        "ключ" * 11,
    ],
)
def test_anything_else_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="not a WireGuard key") as refusal:
        check_key(text)
    assert not text.strip() or text not in str(refusal.value)


@given(st.binary(min_size=32, max_size=32))
def test_every_32_bytes_are_a_key(raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    assert check_key(text) == text


@pytest.mark.parametrize("point", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18, 2**255])
def test_points_of_low_order_are_no_public_keys(point: int) -> None:
    with pytest.raises(ValueError, match="no handshake can succeed"):
        check_public_key(base64.b64encode(point.to_bytes(32, "little")).decode())


def test_zeros_are_no_preshared_key() -> None:
    with pytest.raises(ValueError, match="leave it out"):
        check_preshared_key("A" * 43 + "=")
