from gateway.agent.pieces import pieces
from gateway.agent.protocols.wireguard.wg import SeenInterface, SeenPeer, parse_dump

DUMP = (
    "cHJpdmF0ZQ==\tcHVibGlj\t51820\toff\n"
    "Zmlyc3Q=\t(none)\t192.0.2.1:40000\t10.77.0.2/32,fd77::2/128\t1800000000\t148\t92\t25\n"
    "c2Vjb25k\tcHNr\t(none)\t(none)\t0\t0\t0\toff\n"
)


def test_a_dump() -> None:
    seen = parse_dump(DUMP, asked_at=5)
    assert (seen.public_key, seen.listen_port, seen.asked_at) == ("cHVibGlj", 51820, 5)
    assert {key: seen.peer(key) for key in [*seen.lines, "dGhpcmQ="]} == {
        "Zmlyc3Q=": SeenPeer(
            preshared_key=None,
            endpoint="192.0.2.1:40000",
            allowed_ips=frozenset({"10.77.0.2/32", "fd77::2/128"}),
            last_handshake=1800000000,
            keepalive=25,
        ),
        "c2Vjb25k": SeenPeer(
            preshared_key="cHNr", endpoint=None, allowed_ips=frozenset(), last_handshake=0, keepalive=0
        ),
        "dGhpcmQ=": None,
    }


def test_a_bare_interface() -> None:
    assert parse_dump("(none)\t(none)\t0\toff\n", asked_at=0) == SeenInterface(None, 0, {}, 0)


def test_secrets_are_not_shown() -> None:
    seen = parse_dump(DUMP, asked_at=0)
    assert "cHNr" not in repr(seen) + repr(seen.peer("c2Vjb25k"))
    assert "cHJpdmF0ZQ==" not in repr(seen)


def test_pieces() -> None:
    assert list(pieces(range(5), 2)) == [[0, 1], [2, 3], [4]]
