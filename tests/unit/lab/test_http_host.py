import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from lab.mesh.http_host import HttpHost


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with HttpHost("internet-host", port=0) as host:
        thread = threading.Thread(target=host.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield host.server_address[1]
        host.shutdown()
        thread.join()


@pytest.mark.parametrize(("address", "caller"), [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")])
def test_it_says_who_it_is_and_who_asks(port: int, address: str, caller: str) -> None:
    answer = httpx.get(f"http://{address}:{port}/", trust_env=False)
    assert answer.json() == {"host": "internet-host", "caller": caller}


@pytest.mark.parametrize("count", [0, 1, 5_000_000])
def test_a_download_has_exactly_as_many_bytes(port: int, count: int) -> None:
    assert len(httpx.get(f"http://127.0.0.1:{port}/download/{count}", trust_env=False).content) == count


@pytest.mark.parametrize("path", ["/other", "/download/", "/download/-1", "/download/x", f"/download/{10**11}"])
def test_anything_else_is_not_there(port: int, path: str) -> None:
    assert httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).status_code == 404


def test_two_callers_are_served_at_once(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)):
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 200
