"""What etcd, or the way to it, has to say against a call: which member said what, and the remedy."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from gateway.agent.store import StoreError


class Kind(Enum):
    """Why a member of etcd did not do what it was asked; each has its remedy."""

    UNREACHABLE = "see that etcd runs, that this machine reaches it, and that MESHGATE_ETCD_ENDPOINTS is right"
    SILENT = "see whether its disk or its machine is overloaded"
    LEADERLESS = "etcd has no quorum: start its members until more than half of them run and reach each other"
    FULL = "etcd's space is used up: compact and defragment it, then run `etcdctl alarm disarm`"
    REFUSED = "see etcd's log"


@dataclass(frozen=True)
class Complaint:
    """Of one member: in its words, or the system's."""

    kind: Kind
    text: str


class EtcdError(StoreError):
    """etcd could not be asked; what it was asked for may have been done or not."""


class CompactedError(EtcdError):
    """etcd does not have the changes any more that it was asked for."""


def of_answer(code: int, message: str) -> Complaint:
    """Why an answer is an error, by its gRPC code and message (etcd: api/v3rpc/rpctypes/error.go)."""
    if "space exceeded" in message:
        return Complaint(Kind.FULL, message)
    # Without a leader most calls end in a deadline; 14 is UNAVAILABLE.
    if code == 14 or "deadline exceeded" in message or "no leader" in message:
        return Complaint(Kind.LEADERLESS, message)
    return Complaint(Kind.REFUSED, message)


def of_all(complaints: Mapping[str, Complaint]) -> EtcdError:
    """What all members that were asked say, by their endpoints, in one sentence."""
    kinds = [complaint.kind for complaint in complaints.values()]
    worst = max(kinds, key=list(Kind).index)
    said = ", ".join(f"{endpoint}: {complaint.text}" for endpoint, complaint in complaints.items())
    return EtcdError(f"the store of devices, etcd, is away ({said}); {worst.value}")
