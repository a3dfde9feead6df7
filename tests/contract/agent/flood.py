"""Strangers at the peer API, run as a program so that it can be where they are.

`flood.py requests HOST PORT PER_SECOND` sends bad requests until it is ended, whatever becomes of those before;
`flood.py silence HOST PORT COUNT` opens connections, says so, and sends nothing until it is ended.
Both print a line when they have begun, and at SIGTERM how often what was answered: a status, or 0 for none.
"""

import asyncio
import json
import resource
import signal
import sys
import time
from collections import Counter
from itertools import cycle

PATIENCE_S = 3.0
BAD = (
    b"GET /v1/peers HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer not-the-token\r\n\r\n",
    b"nonsense\r\n\r\n",
    b"POST /v1/peers HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000,
    b"DELETE /v1/peers/x HTTP/1.1\r\nHost: a\r\n\r\n",
)


async def flood(host: str, port: int, per_second: int) -> Counter[int]:
    """Bad requests, each by a connection of its own."""
    answers: Counter[int] = Counter()
    running: set[asyncio.Task[None]] = set()
    start = time.monotonic()
    ended = _ended()
    print("flooding", flush=True)  # noqa: T201
    for begun, request in enumerate(cycle(BAD), 1):
        if ended.is_set():
            break
        running.add(task := asyncio.create_task(_ask(host, port, request, answers)))
        task.add_done_callback(running.discard)
        await asyncio.sleep(max(0.0, start + begun / per_second - time.monotonic()))
    await asyncio.gather(*running)
    return answers


async def _ask(host: str, port: int, request: bytes, answers: Counter[int]) -> None:
    status, writer = 0, None
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(request)
            status = int((await reader.readline()).split()[1])
    except (OSError, IndexError):
        pass  # TimeoutError is one, too
    finally:
        if writer is not None:
            writer.transport.abort()
    answers[status] += 1


async def silence(host: str, port: int, count: int) -> Counter[int]:
    """Connections that stay open as long as the other end lets them."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
    ended = _ended()
    kept = [await asyncio.open_connection(host, port) for _ in range(count)]
    print("silent", flush=True)  # noqa: T201
    await ended.wait()
    still = sum(not reader.at_eof() for reader, _ in kept)
    return Counter({"open": still, "ended": count - still})  # type: ignore[dict-item]


def _ended() -> asyncio.Event:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    return ended


def main() -> None:
    kind, host, port, number = sys.argv[1:]
    program = {"requests": flood, "silence": silence}[kind]
    print(json.dumps(asyncio.run(program(host, int(port), int(number)))))  # noqa: T201


if __name__ == "__main__":
    main()
