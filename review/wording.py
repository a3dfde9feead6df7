"""The sentences of a review. `code` makes names and values of others harmless where they stand."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from infra.protection import KEPT
from review.changes import OPS, Change, Field
from review.values import Mark, cut, shown
from review.verdict import Report, Verdict

Code = Callable[[str], str]

DANGERS_SHOWN, REASONS_SHOWN, FIELDS_SHOWN = 15, 3, 30
REASON_CHARACTERS, LOSS_CHARACTERS = 80, 500

_DOES = {"replace": "replaces", "delete": "deletes", "create": "creates", "update": "updates"}
_DONE = {"replace": "replaced", "delete": "deleted", "create": "created", "update": "updated"}


def verdict(report: Report, code: Code) -> str:
    """The one line that must be read."""
    if report.verdict in (Verdict.FAILED, Verdict.UNREACHABLE):
        return report.verdict.upper()
    if report.verdict is Verdict.UNCHANGED:
        return "no changes"
    if report.verdict is Verdict.DANGER:
        useless = ["makes clients' configs useless"] if report.losses else []
        return f"DANGER: {', '.join([*useless, *_dangers(report.dangers, code)])}"
    if not report.changes:
        return "no changes but to the stack's outputs"
    by_hand = sum(change.by_hand for change in report.changes)
    total = _many(len(report.changes), "change", "changes")
    if not by_hand:
        return total
    which = "to" if by_hand == len(report.changes) else f"{by_hand} of them to"
    return f"{total}, {which} put right what was changed by hand"


def counts(report: Report) -> str:
    """The number of changes of each kind, such as "1 replaced, 3 updated, 16 unchanged"."""
    ops = [change.op for change in report.changes]
    told = [f"{ops.count(op)} {_DONE[op]}" for op in OPS if op in ops]
    return ", ".join([*told, f"{report.unchanged} unchanged"])


def dangers(report: Report, code: Code, emphasis: str = "") -> Iterator[str]:
    """A line for each loss of clients' configs, then one for each thing that is replaced or deleted.

    The latter has which, why, and what is lost with it for good.
    """
    for sentence in report.losses[:DANGERS_SHOWN]:
        yield f"{emphasis}Makes configs useless{emphasis}: {code(cut(sentence, LOSS_CHARACTERS))}"
    if (more := len(report.losses) - DANGERS_SHOWN) > 0:
        yield f"{emphasis}Makes configs useless{emphasis} in {_many(more, 'more way', 'more ways')}."
    for change in sorted(report.dangers, key=_rank)[:DANGERS_SHOWN]:
        does = f"{emphasis}{_DOES[change.op].capitalize()}{emphasis}"
        lost = f" It is {KEPT[change.type]}." if change.type in KEPT else ""
        yield f"{does} {_thing(change, code)}{_because(change, code)}.{lost}"
    if (more := len(report.dangers) - DANGERS_SHOWN) > 0:
        yield f"{emphasis}And {more} more.{emphasis}"


def title(change: Change, code: Code, emphasis: str = "") -> str:
    """What is done to a thing."""
    said = f"{emphasis}{_DOES[change.op]}{emphasis} {_thing(change, code)}"
    if change.gone:
        return f"{said}, which somebody deleted"
    return f"{said}, changed by hand" if change.by_hand else said


def fields(changed: Sequence[Field]) -> Iterator[str]:
    """The fields in the form of a diff; no line holds more than one value."""
    for field in changed[:FIELDS_SHOWN]:
        yield from _field(field)
    if (more := len(changed) - FIELDS_SHOWN) > 0:
        yield f"  … ({_many(more, 'more field', 'more fields')})"


def _field(field: Field) -> Iterator[str]:
    hand = "  (changed by hand)" if field.by_hand else ""
    if field.old is field.new is Mark.SECRET:
        yield f"! {field.path}: {shown(field.new)}, another one{hand}"
        return
    if field.old is not Mark.MISSING:
        yield f"- {field.path}: {shown(field.old)}{hand}"
    elif hand:
        yield f"! {field.path}: removed by hand"
    if field.new is not Mark.MISSING:
        yield f"+ {field.path}: {shown(field.new)}"


def _dangers(changes: Iterable[Change], code: Code) -> Iterator[str]:
    """The worst of each kind, and how many more there are."""
    for op in ("replace", "delete"):
        if some := sorted((change for change in changes if change.op == op), key=_rank):
            more = f" and {len(some) - 1} more" if len(some) > 1 else ""
            yield f"{_DOES[op]} {_thing(some[0], code)}{more}"


def _rank(change: Change) -> int:
    """What cannot be had again comes first."""
    return list(KEPT).index(change.type) if change.type in KEPT else len(KEPT)


def _because(change: Change, code: Code) -> str:
    if change.op == "delete":
        return ", which the settings do not ask for any more"
    why = [_why(reason, code) for reason in change.reasons[:REASONS_SHOWN]]
    if (more := len(change.reasons) - REASONS_SHOWN) > 0:
        why.append(f"{_many(more, 'more property', 'more properties')} too")
    return f", because {', '.join(why)}" if why else ""


def _why(reason: Field, code: Code) -> str:
    if reason.path == "id":  # how the engine puts it: no property forces it
        return "that was asked for (`--replace`, or the state marks it)"
    said = f"{code(reason.path)} changes"
    if reason.old is reason.new:  # nothing to show, or nothing that may be shown
        return said
    return f"{said} from {_value(reason.old, code)} to {_value(reason.new, code)}"


def _value(value: object, code: Code) -> str:
    return "nothing" if value is Mark.MISSING else code(shown(value, REASON_CHARACTERS))


def _thing(change: Change, code: Code) -> str:
    return f"{code(change.kind)} {code(change.name)}"


def _many(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
