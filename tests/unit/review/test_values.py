import pytest

from review.values import PATH_CHARACTERS, Mark, at, differences, parse, plain, printable, shown, written

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def test_secrets_and_unknowns_are_marked_wherever_they_are() -> None:
    value = {"a": [SECRET, UNKNOWN, "[secret]"], "b": {"c": SECRET | {"value": "in clear text"}}}
    assert plain(value) == {"a": [Mark.SECRET, Mark.UNKNOWN, Mark.SECRET], "b": {"c": Mark.SECRET}}


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("spec.replicas", ("spec", "replicas")),
        ("spec.containers[2].env[10].value", ("spec", "containers", 2, "env", 10, "value")),
        ('metadata.labels["app.kubernetes.io/name"]', ("metadata", "labels", "app.kubernetes.io/name")),
        ('annotations["a \\"b\\" [1].c"].d', ("annotations", 'a "b" [1].c', "d")),
        ("annotations.meshgate/public-key", ("annotations", "meshgate/public-key")),
    ],
)
def test_paths_are_read_as_providers_write_them(path: str, parts: tuple[str | int, ...]) -> None:
    assert parse(path) == parts


def test_what_is_not_there_is_missing_and_what_is_in_a_secret_is_secret() -> None:
    value = {"list": [1], "data": Mark.SECRET}
    assert at(value, ("list", 0)) == 1
    assert at(value, ("data", "token")) is Mark.SECRET
    for path in (("list", 1), ("list", "0"), ("none",), ("list", 0, "deeper")):
        assert at(value, path) is Mark.MISSING


def test_differences_are_told_leaf_by_leaf() -> None:
    old = {"same": 1, "gone": {"x": 1}, "plain": [1, 2], "parts": [{"a": 1}, {"a": 2}], "turned": {"a": 1}}
    new = {"same": 1.0, "plain": [1, 3], "parts": [{"a": 1, "b": []}], "turned": "text", "made": {"y": [{"z": 1}]}}
    assert list(differences(old, new)) == [
        (("gone", "x"), 1, Mark.MISSING),
        (("made", "y", 0, "z"), Mark.MISSING, 1),
        (("parts", 0, "b"), Mark.MISSING, []),
        (("parts", 1, "a"), 2, Mark.MISSING),
        (("plain",), [1, 2], [1, 3]),
        (("turned",), {"a": 1}, "text"),
    ]


def test_elements_of_lists_go_by_their_name_where_they_have_one() -> None:
    pod = {"containers": [{"name": "agent", "env": [{"value": "x"}]}]}
    path = ("containers", 0, "env", 0, "value")
    assert written(path, pod) == "containers[agent].env[0].value"
    assert written(path, {}, pod) == "containers[agent].env[0].value"
    assert written(("labels", "app.kubernetes.io/name")) == 'labels["app.kubernetes.io/name"]'
    assert len(written(("labels", "long" * 1000))) < PATH_CHARACTERS + 30


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", '""'),
        ({"b": Mark.SECRET, "a": [1, True, None]}, '{"a": [1, true, null], "b": "[secret]"}'),
        (Mark.UNKNOWN, "[known after up]"),
        ("two\nlines\ttab", '"two\\nlines\\ttab"'),
        ("zürich \u202egnp.exe\u2069 \x1b[31m", '"zürich \\u202egnp.exe\\u2069 \\u001b[31m"'),
        ("a key: hskey-api-abcdef-0123456789", '"a key: ***"'),
        ("x" * 1000, f'"{"x" * 299}… (1,002 characters)'),
    ],
)
def test_values_are_one_visible_line_without_keys(value: object, text: str) -> None:
    assert shown(value) == text


def test_lone_surrogates_can_be_printed() -> None:
    assert printable("\ud800").encode() == b"\\ud800"
