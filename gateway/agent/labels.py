"""A device's name is a label for people: what phones are called is taken as it is, and cut, not refused.

Only what would break a line is refused, and what would turn the writing of a page or a log around is left out.
"""

import unicodedata

LONGEST = 64
"""In code points."""

_BREAKS = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode's categories of control characters, surrogates, line and paragraph separators."""
_TURNS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""Embeddings, overrides and isolates of the bidirectional algorithm."""
_JOINER = "\u200d"
_FLAG_HALVES = "".join(map(chr, range(0x1F1E6, 0x1F200)))
"""Regional indicators: two make a flag."""


def label(text: str) -> str | None:
    """The text as a label, None if nothing is left of it; ValueError if it has a character that breaks lines."""
    if broken := [letter for letter in text if unicodedata.category(letter) in _BREAKS]:
        raise ValueError(f"a name is one line without control characters, and this has U+{ord(broken[0]):04X}")
    text = text.translate(_TURNS).strip()
    return text[: _cut(text)].rstrip() or None


def _cut(text: str) -> int:
    """Where the longest label ends: between two characters as people see them, if there is such a place."""
    if len(text) <= LONGEST:
        return len(text)
    places = (place for place in range(LONGEST, 0, -1) if not _goes_on(text, place))
    return next(places, LONGEST)


def _goes_on(text: str, place: int) -> bool:
    """Whether the character before this place goes on after it: a simple reading of Unicode's UAX #29."""
    before, after = text[place - 1], text[place]
    if before in _FLAG_HALVES and after in _FLAG_HALVES:
        halves = len(text[:place]) - len(text[:place].rstrip(_FLAG_HALVES))
        return halves % 2 == 1
    return before == _JOINER or _extends(after)


def _extends(letter: str) -> bool:
    """A combining mark, a joiner, a skin tone, a tag of a flag, a vowel or final consonant of Hangul."""
    return (
        unicodedata.category(letter).startswith("M")
        or letter in "\u200c\u200d"
        or "\U0001f3fb" <= letter <= "\U0001f3ff"
        or "\U000e0020" <= letter <= "\U000e007f"
        or "\u1160" <= letter <= "\u11ff"
    )
