import pytest

from gateway.agent.command import CommandError, run


async def test_a_tool_reads_its_input_by_name_too() -> None:
    assert await run("cat", "/dev/stdin", stdin="secret") == "secret"


async def test_a_tools_failure_is_its_first_line() -> None:
    with pytest.raises(CommandError, match=r"^cat failed: cat: /nowhere: No such file or directory$"):
        await run("cat", "/nowhere")
    with pytest.raises(CommandError, match=r"^false failed: exit code 1$"):
        await run("false")
    with pytest.raises(CommandError, match=r"^no-such-tool cannot be run: No such file or directory$"):
        await run("no-such-tool")


async def test_a_tool_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.agent.command.DEADLINE_S", 0.05)
    with pytest.raises(CommandError, match="sleep did not end"):
        await run("sleep", "60")
