import pytest

from infra.protection import KEPT
from review import events
from review.diagnosis import CHARACTERS, LINES, SENTENCES, last_words, out_of_reach, sentences
from review.verdict import Verdict, report

AWAY = "Headscale at http://127.0.0.1:1 cannot be reached: [Errno 111] Connection refused; check that it runs."
BAD = "meshgate:gateways[0].mtu: 9000 cannot be used: it should be less than or equal to 1420."


def test_the_programs_sentence_is_told_once_and_without_what_the_engine_puts_around_it() -> None:
    assert sentences(
        [
            f"Preview failed: ResourceError: {AWAY}\n\n",
            f"ResourceError: {AWAY}\n",
            f'before hook "ownership" failed: {AWAY}',
            f"pulumi-python:dynamic/meshgate:HeadscaleUser resource 'user' has a problem: {AWAY}\n",
            "an unhandled error occurred: program exited with non-zero exit code: 1\n",
            "preview failed\n",
        ]
    ) == (AWAY,)


def test_of_a_traceback_only_the_exception_is_told() -> None:
    traceback = (
        "Program failed with an unhandled exception:\nTraceback (most recent call last):\n"
        '  File "/home/user/meshgate/__main__.py", line 5, in <module>\n    import nothing\n'
        "ModuleNotFoundError: No module named 'nothing'\n\n"
    )
    (sentence,) = sentences([traceback])
    assert sentence == "Program failed with an unhandled exception: ModuleNotFoundError: No module named 'nothing'"


@pytest.mark.parametrize(
    ("refusal", "done"),
    [
        (
            'unable to replace resource "%s"\nas it is currently marked for protection. To unprotect the resource, '
            "remove the `protect` flag from the resource in your Pulumi program and run `pulumi up`\n",
            "replaced",
        ),
        (
            'resource "%s" cannot be deleted\nbecause it is protected. To unprotect the resource, either remove the '
            "`protect` flag from the resource in your Pulumi program and run `pulumi up`, or use the command:\n"
            "`pulumi state unprotect '%s'`\n",
            "deleted",
        ),
    ],
)
def test_what_is_protected_is_told_with_what_it_is_and_what_allows_it(refusal: str, done: str) -> None:
    key = "pulumi-python:dynamic/meshgate:WireGuardKey"
    urn = f"urn:pulumi:prod::meshgate::meshgate:access:Gateway${key}::one-key"
    assert sentences([f"Preview failed: {refusal.replace('%s', urn)}"]) == (
        f"WireGuardKey one-key would be {done}, and it is protected: it is {KEPT[key]}. "
        "`protect: false` in the stack's settings allows that (docs/policies.md).",
    )
    (by_hand,) = sentences([refusal.replace("%s", "urn:pulumi:prod::meshgate::kubernetes:core/v1:Service::peers")])
    assert by_hand.startswith(f"Service peers would be {done}, and it is protected: somebody protected it by hand. ")


def test_much_text_is_cut_and_keys_in_it_are_hidden() -> None:
    told = sentences(["\n".join(f"line {number}" for number in range(50)), "hskey-api-abc-def " + "x" * 5000])
    assert told[0].splitlines()[-1] == f"… ({50 - LINES} more lines)"
    assert told[1].startswith("*** xxx")
    assert len(told[1]) < CHARACTERS + 30
    assert len(sentences(map(str, range(100)))) == SENTENCES


@pytest.mark.parametrize(
    "sentence",
    [
        AWAY,
        "Headscale at https://headscale.example.com is not available (503 Service Unavailable).",
        "The cluster at https://127.0.0.1:1 cannot be reached: Connection refused; set KUBECONFIG to one that works.",
        "configured Kubernetes cluster is unreachable: unable to load schema information from the API server",
        'operation error S3: GetObject, Get "http://127.0.0.1:1/b": dial tcp 127.0.0.1:1: connect: connection refused',
    ],
)
def test_a_system_that_is_away_is_out_of_reach(sentence: str) -> None:
    assert out_of_reach([sentence])
    assert not out_of_reach([sentence, BAD])


def test_a_bad_setting_is_not() -> None:
    assert not out_of_reach([BAD])
    assert not out_of_reach([])


def test_before_the_engine_began_what_it_printed_tells_why() -> None:
    said = "warning: something\nerror: getting stack configuration: incorrect passphrase\n"
    assert last_words(said) == ("getting stack configuration: incorrect passphrase",)
    assert last_words("a crash\nwithout an error line\n") == ("a crash", "without an error line")
    failed = report("prod", events.read(said), ended_well=False)
    assert (failed.verdict, failed.errors) == (Verdict.FAILED, ("getting stack configuration: incorrect passphrase",))


def test_a_run_that_says_nothing_fails_too() -> None:
    for ended_well in (True, False):
        told = report("prod", events.read(""), ended_well=ended_well)
        assert told.verdict is Verdict.FAILED
        assert told.errors == ("Pulumi ended before it came to a summary, and did not say why.",)


RULES = "".join(
    f'{{"policyEvent":{{"policyName":"{name}","message":"{text}","enforcementLevel":"{level}"}}}}\n'
    for name, text, level in (
        ("keep-the-key", "The key is replaced.", "mandatory"),
        ("images-by-digest", "The image has no digest.", "advisory"),
    )
)
DELETED = '{"op":"delete","urn":"urn:pulumi:prod::meshgate::a:b:C::c","type":"a:b:C","old":{"custom":true}}'
PLANNED = f'{{"resourcePreEvent":{{"metadata":{DELETED}}}}}\n{{"summaryEvent":{{}}}}\n'


def test_a_rule_that_must_be_kept_fails_it_advice_warns_and_all_changes_are_told() -> None:
    echo = '{"diagnosticEvent":{"message":"preview failed\\n","severity":"error"}}\n'
    told = report("prod", events.read(RULES + PLANNED + echo), ended_well=False)
    assert told.verdict is Verdict.FAILED
    assert told.errors == ("keep-the-key: The key is replaced.",)
    assert told.warnings == ("images-by-digest: The image has no digest.",)
    assert [change.op for change in told.dangers] == ["delete"]


def test_a_preview_that_failed_tells_no_changes() -> None:
    error = f'{{"diagnosticEvent":{{"message":"{AWAY}","severity":"error"}}}}\n'
    for printed in (PLANNED + error, RULES + PLANNED + error, PLANNED.partition('{"summary')[0]):
        assert report("prod", events.read(printed), ended_well=False).changes == ()
