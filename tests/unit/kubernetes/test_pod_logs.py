"""Of a container's log the lines that say why it did not come up."""

from infra.kubernetes.pod_logs import LINES, WIDTH, telling


def test_a_short_log_is_shown_whole() -> None:
    assert telling("one\ntwo\n") == ["one", "two"]
    assert telling("\n") == []


def test_a_reason_is_told_however_much_is_said_after_it() -> None:
    """As tailscaled: it takes its routes and rules away, a line each, when its key was refused."""
    reason = "2026/11/28 05:04:51 Received error: register request: http 401: authkey already used"
    end = [f"2026/11/28 05:04:58 monitor: RTM_DELROUTE: table={number}" for number in range(100)]
    told = telling("\n".join(["2026/11/28 05:04:50 boot", reason, *end]))
    assert len(told) == LINES
    assert told[0] == reason
    assert told[1:] == end[1 - LINES :]


def test_a_fault_that_was_repeated_leaves_room_for_the_others() -> None:
    often = [f"2026/11/28 05:04:{second} connection refused" for second in range(10, 60)]
    told = telling("\n".join(["invalid key", *often, "ended"]))
    assert told[0] == "invalid key"
    assert told[-2:] == [often[-1], "ended"]


def test_a_line_is_no_page() -> None:
    assert telling("x" * 5000) == ["x" * WIDTH + "…"]
