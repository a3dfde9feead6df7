import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agent.labels import LONGEST, label

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
FLAG = "\U0001f1e9\U0001f1ea"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    "name",
    [
        "Anna\u2019s\u00a0iPhone",
        f"{FAMILY} {FLAG} {SCOTLAND}",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0939\u093f\u0928\u094d\u0926\u0940",
        "x" * LONGEST,
    ],
)
def test_names_of_phones_are_taken_as_they_are(name: str) -> None:
    assert label(name) == name


@pytest.mark.parametrize("name", ["", " ", "\u00a0\u2003", "\u202e\u2066", " \u202e "])
def test_nothing_is_no_name(name: str) -> None:
    assert label(name) is None


@pytest.mark.parametrize("letter", ["\n", "\0", "\x1b", "\x85", "\u2028", "\u2029", "\ud800"])
def test_what_breaks_lines_is_refused(letter: str) -> None:
    with pytest.raises(ValueError, match=f"one line without control characters, and this has U\\+{ord(letter):04X}"):
        label(f"a{letter}b")


def test_what_turns_the_writing_around_is_left_out() -> None:
    assert label("\u202eexe.phone\u202c") == "exe.phone"


@pytest.mark.parametrize("last", [FAMILY, FLAG, SCOTLAND, "e\u0301", "\U0001f44d\U0001f3fd", "\u1100\u1161\u11a8"])
def test_the_cut_is_between_what_people_see(last: str) -> None:
    for before in range(1, len(last)):
        kept = "x" * (LONGEST - before)
        assert label(kept + last + "x") == kept
    assert label("x" * (LONGEST - len(last)) + last + "x") == "x" * (LONGEST - len(last)) + last


def test_flags_are_counted_in_pairs() -> None:
    assert label(f"x{FLAG * LONGEST}") == f"x{FLAG * 31}"


def test_one_endless_character_is_cut_all_the_same() -> None:
    assert label("e" + "\u0301" * 1000) == "e" + "\u0301" * (LONGEST - 1)


@given(st.text())
def test_a_label_is_a_label(text: str) -> None:
    try:
        found = label(text)
    except ValueError:
        return
    if found is not None:
        assert 1 <= len(found) <= LONGEST
        assert label(found) == found
