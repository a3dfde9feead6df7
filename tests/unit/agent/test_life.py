from tests.unit.agent.life import live


def test_whatever_happens_what_was_acknowledged_is_true() -> None:
    live(lives=10, steps=200)
