"""A question by UDP, asked again while nobody answers it."""

import socket
from collections.abc import Callable

ATTEMPTS, ANSWER_S = 3, 2.0


def is_answered(endpoint: tuple[str, int], question: Callable[[], bytes], is_answer: Callable[[bytes], bool]) -> bool:
    """Whether somebody at the endpoint answers; each attempt asks anew. OSError if there is no way to it."""
    family, kind, protocol, _, address = socket.getaddrinfo(*endpoint, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as dialled:
        dialled.connect(address)
        dialled.settimeout(ANSWER_S)
        for _ in range(ATTEMPTS):
            dialled.send(question())
            try:
                if is_answer(dialled.recv(4096)):
                    return True
            except (TimeoutError, ConnectionRefusedError):
                continue
    return False
