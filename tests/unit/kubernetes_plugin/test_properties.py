"""Wire format in, plain values inside, wire format out."""

from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import rpc

from lab.kubernetes_plugin.properties import (
    UNKNOWN,
    Secret,
    contains_unknown,
    from_struct,
    mark_secrets,
    redact,
    reveal,
    to_struct,
)

leaves = (
    st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=8) | st.just(UNKNOWN)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner) | inner.map(Secret),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcd", min_size=1, max_size=4), values))
def test_what_is_written_is_read_again(properties: dict[str, object]) -> None:
    assert from_struct(to_struct(properties)) == properties


def test_the_markers_are_pulumis_own() -> None:
    written = to_struct({"unknown": UNKNOWN, "secret": Secret("x")})
    assert written["unknown"] == rpc.UNKNOWN
    assert written.fields["secret"].struct_value[rpc._special_sig_key] == rpc._special_secret_sig


def test_null_members_are_left_out_and_whole_numbers_are_integers() -> None:
    read = from_struct(to_struct({"gone": None, "port": 80.0, "share": 0.5}))
    assert read == {"port": 80, "share": 0.5}
    assert isinstance(read["port"], int)


def test_revealing_keeps_unknowns_and_drops_the_markers() -> None:
    assert reveal({"a": Secret({"b": [Secret(1), UNKNOWN]})}) == {"a": {"b": [1, UNKNOWN]}}
    assert contains_unknown({"a": Secret([UNKNOWN])})


def test_outputs_are_secret_where_inputs_are_and_lists_as_a_whole() -> None:
    inputs = {"plain": "1", "spec": {"token": Secret("t"), "env": [{"value": Secret("v")}]}, "gone": Secret("g")}
    outputs = {"plain": "1", "spec": {"token": "t", "env": [{"value": "v"}, {"value": "other"}], "more": 1}}
    assert mark_secrets(outputs, inputs) == {
        "plain": "1",
        "spec": {"token": Secret("t"), "env": Secret([{"value": "v"}, {"value": "other"}]), "more": 1},
    }


def test_secrets_are_taken_out_of_a_text() -> None:
    inputs = {"plain": "web", "env": [{"value": Secret("s3cr3t")}, {"value": Secret({"k": ["s3cr3t-2", ""]})}]}
    text = 'Invalid value: "s3cr3t-2" in "web", not "s3cr3t"'
    assert redact(text, inputs) == 'Invalid value: "[secret]" in "web", not "[secret]"'


def test_a_secret_does_not_show_itself() -> None:
    assert "s3cr3t" not in repr(Secret("s3cr3t"))
