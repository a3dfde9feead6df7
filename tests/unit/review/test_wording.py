import dataclasses

import pytest

from infra.protection import KEPT
from review import markdown, text, wording
from review.changes import Change, Field
from review.values import Mark
from review.verdict import Report, Verdict

KEY = Change("replace", "pulumi-python:dynamic/meshgate:WireGuardKey", "WireGuardKey", "one-key")
VOLUME = Change("replace", "kubernetes:core/v1:PersistentVolumeClaim", "PersistentVolumeClaim", "one-state")
SECRET = Change("replace", "kubernetes:core/v1:Secret", "Secret", "one-identity")
CHANGED = dataclasses.replace(SECRET, op="update")
BY_HAND = dataclasses.replace(CHANGED, fields=(Field("a", 1, 2, by_hand=True),))
DELETED = dataclasses.replace(SECRET, op="delete")


LOSING = Report("prod", Verdict.DANGER, losses=("gateway one: `endpoint` changes.",))


def report(*changes: Change, verdict: Verdict = Verdict.CHANGES, outputs: tuple[Field, ...] = ()) -> Report:
    return Report("prod", verdict, changes, outputs)


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (report(verdict=Verdict.UNCHANGED), "no changes"),
        (report(outputs=(Field("a", 1, 2),)), "no changes but to the stack's outputs"),
        (report(CHANGED), "1 change"),
        (report(BY_HAND), "1 change, to put right what was changed by hand"),
        (report(CHANGED, BY_HAND), "2 changes, 1 of them to put right what was changed by hand"),
        (report(SECRET, VOLUME, KEY, verdict=Verdict.DANGER), "DANGER: replaces WireGuardKey one-key and 2 more"),
        (
            report(CHANGED, DELETED, SECRET, verdict=Verdict.DANGER),
            "DANGER: replaces Secret one-identity, deletes Secret one-identity",
        ),
        (dataclasses.replace(LOSING, changes=(CHANGED,)), "DANGER: makes clients' configs useless"),
        (
            dataclasses.replace(LOSING, changes=(KEY,)),
            "DANGER: makes clients' configs useless, replaces WireGuardKey one-key",
        ),
        (report(verdict=Verdict.FAILED), "FAILED"),
        (report(verdict=Verdict.UNREACHABLE), "UNREACHABLE"),
    ],
)
def test_the_verdict(told: Report, line: str) -> None:
    assert wording.verdict(told, str) == line


def test_dangers_tell_the_worst_first_why_and_what_is_lost() -> None:
    reasons = (
        Field("rotation", "a", "b"),
        Field("adopt", Mark.SECRET, Mark.SECRET),
        Field("new", Mark.MISSING, 1),
        *(Field("more", 1, 2),) * 2,
    )
    key = dataclasses.replace(KEY, reasons=reasons)
    asked = dataclasses.replace(SECRET, reasons=(Field("id", Mark.MISSING, Mark.MISSING),))
    assert list(wording.dangers(report(DELETED, asked, VOLUME, key), str)) == [
        'Replaces WireGuardKey one-key, because rotation changes from "a" to "b", adopt changes, new changes from '
        f"nothing to 1, 2 more properties too. It is {KEPT[KEY.type]}.",
        f"Replaces PersistentVolumeClaim one-state. It is {KEPT[VOLUME.type]}.",
        "Deletes Secret one-identity, which the settings do not ask for any more.",
        "Replaces Secret one-identity, because that was asked for (`--replace`, or the state marks it).",
    ]


def test_configs_that_become_useless_come_before_what_is_lost_with_things() -> None:
    told = dataclasses.replace(LOSING, changes=(DELETED,))
    assert list(wording.dangers(told, markdown.code, "**")) == [
        "**Makes configs useless**: ``gateway one: `endpoint` changes.``",
        "**Deletes** `Secret` `one-identity`, which the settings do not ask for any more.",
    ]
    many = list(wording.dangers(dataclasses.replace(LOSING, losses=("x" * 9999,) * 100), str))
    assert len(many) == wording.DANGERS_SHOWN + 1
    assert many[-1] == f"Makes configs useless in {100 - wording.DANGERS_SHOWN} more ways."
    assert all(len(line) < 600 for line in many)


def test_many_dangers_are_counted() -> None:
    told = list(wording.dangers(report(*(KEY,) * 100), str))
    assert len(told) == wording.DANGERS_SHOWN + 1
    assert told[-1] == f"And {100 - wording.DANGERS_SHOWN} more."


def test_fields_are_told_as_a_diff() -> None:
    changed = (
        Field("replicas", 1, 2),
        Field("made", Mark.MISSING, ["x"]),
        Field("gone", {"a": 1}, Mark.MISSING),
        Field("data", Mark.SECRET, Mark.SECRET),
        Field("key", "old", Mark.UNKNOWN),
        Field("port", 1, 2, by_hand=True),
        Field("label", Mark.MISSING, "x", by_hand=True),
    )
    assert list(wording.fields(changed)) == [
        "- replicas: 1",
        "+ replicas: 2",
        '+ made: ["x"]',
        '- gone: {"a": 1}',
        "! data: [secret], another one",
        '- key: "old"',
        "+ key: [known after up]",
        "- port: 1  (changed by hand)",
        "+ port: 2",
        "! label: removed by hand",
        '+ label: "x"',
    ]


def test_many_fields_are_cut() -> None:
    told = list(wording.fields((Field("a", 1, 2),) * 100))
    assert len(told) == 2 * wording.FIELDS_SHOWN + 1
    assert told[-1] == f"  … ({100 - wording.FIELDS_SHOWN} more fields)"


def test_in_a_terminal_the_same_is_said() -> None:
    failed = Report("dev", Verdict.UNREACHABLE, errors=("It is away.\nReally.",), warnings=("Mind the gap.",))
    gone = dataclasses.replace(CHANGED, op="create", gone=True)
    told = Report("prod", Verdict.DANGER, (DELETED, gone, BY_HAND), (Field("key", 1, 2),), 7)
    assert text.text([failed, told]) == (
        "dev: UNREACHABLE\n  It is away.\n  Really.\n  warning: Mind the gap.\n\n"
        "prod: DANGER: deletes Secret one-identity\n"
        "  ! Deletes Secret one-identity, which the settings do not ask for any more.\n"
        "  1 deleted, 1 created, 1 updated, 7 unchanged\n\n"
        "  deletes Secret one-identity\n\n"
        "  creates Secret one-identity, which somebody deleted\n\n"
        "  updates Secret one-identity, changed by hand\n    - a: 1  (changed by hand)\n    + a: 2\n\n"
        "  the stack's outputs\n    - key: 1\n    + key: 2\n"
    )
