"""The last handshakes that were answered, over restarts of the agent."""

from pathlib import Path

from gateway.agent.protocols.openvpn.handshakes import AHEAD, OLD_LINES, Handshakes


def test_the_next_agent_knows_what_the_last_one_answered(tmp_path: Path) -> None:
    path = tmp_path / "udp.handshakes"
    handshakes = Handshakes(path)
    handshakes.answered(0, 1)
    handshakes.answered(7, 1)
    handshakes.answered(7, 3)
    later = Handshakes(path)
    assert later.unheard(7) == range(4, 4 + AHEAD)
    assert later.unheard(0) == range(2, 2 + AHEAD)
    assert later.unheard(1) == range(AHEAD)


def test_sessions_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "udp.handshakes"
    handshakes = Handshakes(path)
    handshakes.answered(3, 1)
    handshakes.keep([3])
    assert path.read_text() == "3 1\n"
    for client in range(4, 4 + OLD_LINES + 2):
        handshakes.answered(client, 1)
    handshakes.keep([3, 2000])
    assert path.read_text() == "3 1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_that_a_killed_agent_did_not_finish_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "udp.handshakes"
    path.write_text("3 5\n4")
    assert Handshakes(path).unheard(3).start == 6
    assert Handshakes(tmp_path / "nowhere" / "file").unheard(0).start == 0
    Handshakes(tmp_path / "nowhere" / "file").answered(0, 1)  # is logged
