"""What etcd says against a call is told in one sentence, with a remedy that fits."""

import pytest

from gateway.agent.stores.etcd.complaints import Complaint, Kind, of_all, of_answer


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (14, "etcdserver: request timed out", Kind.LEADERLESS),
        (14, "etcdserver: no leader", Kind.LEADERLESS),
        (2, "context deadline exceeded", Kind.LEADERLESS),
        (8, "etcdserver: mvcc: database space exceeded", Kind.FULL),
        (7, "etcdserver: permission denied", Kind.REFUSED),
    ],
)
def test_each_answer_has_its_kind(code: int, message: str, kind: Kind) -> None:
    assert of_answer(code, message) == Complaint(kind, message)


def test_the_remedy_is_of_the_worst_and_all_members_are_named() -> None:
    said = of_all(
        {
            "https://a:2379": Complaint(Kind.UNREACHABLE, "Connection refused"),
            "https://b:2379": Complaint(Kind.LEADERLESS, "it knows of no leader"),
        }
    )
    assert str(said) == (
        "the store of devices, etcd, is away (https://a:2379: Connection refused, https://b:2379: it knows of no "
        "leader); etcd has no quorum: start its members until more than half of them run and reach each other"
    )


def test_unreachable_members_are_no_lost_quorum() -> None:
    said = of_all({"https://a:2379": Complaint(Kind.UNREACHABLE, "Connection refused")})
    assert "see that etcd runs, that this machine reaches it, and that MESHGATE_ETCD_ENDPOINTS is right" in str(said)
