"""The token file: which lines are tokens, what each is good for, and how one is rotated."""

import hmac

import pytest

from gateway.agent.settings_loading import SettingsError
from gateway.agent.tokens import ADMIN, READ, REGISTER, Tokens, parse

OLD, NEW, OTHER = "old-token-of-the-app", "new-token-of-the-app", "0123456789abcdef"


def test_a_token_has_the_scopes_of_its_line() -> None:
    tokens = Tokens(f"# of the app\n\nregister {OLD}\n  read,register   {NEW}\n{ADMIN} {OTHER}\n")
    assert tokens.grant(OLD) == frozenset({REGISTER})
    assert tokens.grant(NEW) == frozenset({READ, REGISTER})
    assert tokens.grant(OTHER) == frozenset({REGISTER, READ, ADMIN}), "admin is everything"


@pytest.mark.parametrize("sent", ["", "register", OLD[:-1], f"{OLD}x", OLD.upper(), "ä", "\udcff", f"register {OLD}"])
def test_what_is_no_token_has_none(sent: str) -> None:
    assert Tokens(f"register {OLD}\n").grant(sent) is None


def test_a_token_of_two_lines_has_the_scopes_of_both() -> None:
    assert Tokens(f"register {OLD}\nread {OLD}\n").grant(OLD) == frozenset({REGISTER, READ})


def test_each_token_is_compared_whatever_matched(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(sent: bytes, token: bytes) -> bool:
        compared.append(token.decode())
        return sent == token

    monkeypatch.setattr(hmac, "compare_digest", compare)
    tokens = Tokens(f"admin {OLD}\nregister {NEW}\nread {OTHER}\n")
    for sent in (OLD, OTHER, "nothing"):
        compared.clear()
        tokens.grant(sent)
        assert compared == [OLD, NEW, OTHER]


async def test_old_and_new_are_good_while_one_is_rotated() -> None:
    tokens = Tokens(f"register {OLD}\n")
    assert tokens.grant(NEW) is None
    await tokens.take_up(f"register {NEW}\nregister {OLD}\n")
    assert tokens.grant(OLD) == tokens.grant(NEW) == frozenset({REGISTER})
    await tokens.take_up(f"register {NEW}\n")
    assert (tokens.grant(OLD), tokens.grant(NEW)) == (None, frozenset({REGISTER}))


async def test_a_file_that_cannot_be_used_changes_nothing() -> None:
    tokens = Tokens(f"register {OLD}\n")
    with pytest.raises(SettingsError):
        await tokens.take_up(f"register {NEW}\nnonsense\n")
    assert (tokens.grant(OLD), tokens.grant(NEW)) == (frozenset({REGISTER}), None)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (NEW, "it has 1 words; write scopes and a token"),
        (f"read register {NEW}", "it has 3 words; write scopes and a token"),
        (f"read, register {NEW}", "it has 3 words"),
        (f"write {NEW}", "its scopes are not all among register, read, admin"),
        (f"read, {NEW}", "its scopes are not all among"),
        ("register short", "its token is shorter than 16 characters"),
        ("register fifteen-letters", "its token is shorter than 16 characters"),
        (f"register {NEW}:", "its token has characters that no Authorization header carries"),
        (f"register ä{NEW}", "its token has characters that no Authorization header carries"),
    ],
)
def test_each_line_that_cannot_be_used_gets_one_sentence_without_its_content(line: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse(f"admin {OTHER}\n{line}\n# a comment\n{line}\n")
    told = str(refusal.value).splitlines()
    assert [text.split(": ")[:2] for text in told] == [["MESHGATE_TOKEN_FILE", f"line {number}"] for number in (2, 4)]
    assert all(sentence in text for text in told)
    assert NEW not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n"])
def test_a_file_without_a_token_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="MESHGATE_TOKEN_FILE: there is no token in it; write a line such as"):
        parse(text)


def test_tokens_do_not_show_themselves() -> None:
    assert OLD not in repr(parse(f"register {OLD}\n"))
