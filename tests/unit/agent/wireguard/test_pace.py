import pytest

from gateway.agent.protocols.wireguard.pace import FEW, LONGEST_PAUSE_S, SAVED_LOOKS, SHARE, Pace, Pauses

MANY = 50_000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def looks(pace: Pace, clock: Clock, seconds: int, took: float, *, peers: int = MANY, news: bool = False) -> list[float]:
    """The times of all looks within so many seconds, each of which takes so long."""
    start, found, count = clock.now, [], 0
    while clock.now < start + seconds:
        if news:
            count += 1
            pace.hear(count)
        if pace.is_due():
            found.append(clock.now - start)
            clock.now += took
            pace.looked(took, peers)
        clock.now += 0.1
    return found


def test_a_cheap_look_comes_every_second(clock: Clock) -> None:
    assert len(looks(Pace(clock), clock, 60, took=0.005)) >= 50


def test_few_peers_are_looked_at_every_second_on_a_busy_machine_too(clock: Clock) -> None:
    assert len(looks(Pace(clock), clock, 60, took=0.3, peers=FEW)) >= 40


def test_a_dear_look_comes_seldom_without_news(clock: Clock) -> None:
    pace = Pace(clock)
    pace.looked(0.4, MANY)
    assert len(looks(pace, clock, 400, took=0.4)) <= 10


def test_news_is_looked_at_soon(clock: Clock) -> None:
    pace = Pace(clock)
    pace.looked(0.4, MANY)
    clock.now += 20
    assert not pace.is_due()
    pace.hear(1)
    assert pace.is_due()
    pace.looked(0.4, MANY)
    clock.now += 1.1
    pace.hear(1)
    assert not pace.is_due(), "the same count is no news"


def test_endless_news_takes_no_more_than_its_share(clock: Clock) -> None:
    pace = Pace(clock)
    pace.looked(0.4, MANY)
    found = looks(pace, clock, 1000, took=0.4, news=True)
    assert len(found) * 0.4 <= 1000 * SHARE + SAVED_LOOKS * 0.4
    assert found[-1] > 980, "news is never left alone"


def test_what_is_urgent_waits_for_its_second_alone(clock: Clock) -> None:
    pace = Pace(clock)
    pace.looked(10, MANY)
    clock.now += 0.9
    assert not pace.is_due(urgent=True)
    clock.now += 0.2
    assert not pace.is_due()
    assert pace.is_due(urgent=True)


def test_pauses_grow_to_a_bound_and_end(clock: Clock) -> None:
    pauses, attempts = Pauses(clock), 0
    assert pauses.begin("no space")
    assert pauses.failing_for() == 0
    for _ in range(1200):
        clock.now += 0.1
        if pauses.is_over():
            attempts += 1
            assert not pauses.begin("no space"), "the same trouble is no other trouble"
    assert 30 < attempts < 60, "and not 1200"
    assert pauses.failing_for() == pytest.approx(120)
    assert pauses.begin("no interface")
    clock.now += LONGEST_PAUSE_S
    assert pauses.is_over()
    pauses.begin("no interface")
    pauses.end()
    assert (pauses.is_over(), pauses.failing_for(), pauses.trouble) == (True, 0, None)
