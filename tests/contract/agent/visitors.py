"""Stock OpenVPN clients that come and stay: OpenVPN asks the agent about each, so nothing else tells who is let in."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from tests.contract.agent.acknowledged import Entries
from tests.contract.agent.openvpn_gateway import OpenVpnClient
from tests.contract.agent.ways_in import OpenVpn
from tests.contract.agent.world import MESH_4, World
from tests.deadlines import wait_for

IN, REFUSED = "Initialization Sequence Completed", "AUTH_FAILED"
TOLD = "Connection reset command was pushed by server"
ANSWERED_S = 15
_counter = itertools.count()


@dataclass
class Visitor:
    """A client with its own tunnel; it ends when it is refused."""

    client: OpenVpnClient
    interface: str
    was_out: bool = False
    """Its device may have been out since it came."""
    is_doubtful: bool = False
    """Its session may have ended for another reason."""

    def reaches(self) -> bool:
        ping = ("ping", "-n", "-c1", "-W0.5", "-I", self.interface, MESH_4)
        return self.client.process.poll() is None and self.client.namespace.tried(*ping).returncode == 0

    def was_told(self) -> bool:
        """Whether it knows that its session has ended. Packets alone do not tell: its route goes, too."""
        return any(map(self.client.says, (TOLD, REFUSED)))

    def leave(self) -> None:
        self.client.process.kill()
        self.client.process.wait()


class Visitors:
    """Those who are there, by their devices' ids."""

    def __init__(self, world: World, way: OpenVpn) -> None:
        self.world, self.way = world, way
        self.profiles: dict[str, tuple[str, datetime]] = {}
        """What each device was told last, and until when its certificate is good."""
        self.there: dict[str, Visitor] = {}

    def learn(self, key: str, said: dict[str, Any]) -> None:
        end = x509.load_pem_x509_certificate(said["certificate"].encode()).not_valid_after_utc
        self.profiles[key] = f"{said['profile']}<key>\n{self.way.private[key]}</key>\n", end

    def can_come(self, key: str) -> bool:
        """OpenVPN has no answer at all for one whose certificate has ended, as with a short ttl."""
        return key in self.profiles and self.profiles[key][1] > datetime.now(UTC) + timedelta(seconds=ANSWERED_S)

    def comes(self, key: str) -> bool:
        """A device's client comes, in place of the one that it may have; whether it was let in."""
        self.leave(key)
        interface = f"tun{next(_counter)}"
        own = f"dev {interface}\nroute-noexec\nauth-retry none\n"
        client = OpenVpnClient(self.world.directory, self.world.client, self.profiles[key][0] + own)
        self.there[key] = Visitor(client, interface)
        wait_for(lambda: any(map(client.says, (IN, REFUSED))), "an answer", ANSWERED_S, log=client.log)
        if client.says(IN):
            return True
        self.leave(key)
        return False

    def has_in(self, key: str) -> bool:
        return key in self.there and self.there[key].reaches()

    def leave(self, key: str) -> None:
        if visitor := self.there.pop(key, None):
            visitor.leave()

    def all_leave(self) -> None:
        for key in list(self.there):
            self.leave(key)

    def doubt(self) -> None:
        """All of them may end now."""
        for visitor in self.there.values():
            visitor.is_doubtful = True

    def differences(self, must: Entries, may: Entries) -> list[str]:
        """Who of those that are there is cut off, and who is not, in words."""
        found = []
        for key, visitor in self.there.items():
            visitor.was_out |= key not in must
            if key not in may:
                if visitor.reaches():
                    found.append(f"{key[:4]} still has its way")
                elif not (visitor.is_doubtful or visitor.was_told()):
                    found.append(f"{key[:4]} still has its session")
            elif not (visitor.was_out or visitor.is_doubtful or visitor.reaches()):
                found.append(f"{key[:4]} has lost its session")
        return found

    def settled(self, must: Entries, may: Entries) -> None:
        """Those who are out, or may have been, leave; others that may be in stay until that is certain."""
        for key, visitor in list(self.there.items()):
            if key not in may or (key in must and (visitor.was_out or visitor.is_doubtful)):
                self.leave(key)
