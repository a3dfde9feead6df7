"""Devices at June's orchestrator, asked as the app asks."""

from typing import Any

import httpx

from console.errors import StepError

TIMEOUT = 15.0
USER_HEADER = "X-Forwarded-User"
"""How the lab's orchestrator is told who asks."""
USER = "somebody@lab.example"
_PATH = "/api/v1/device"


def register(
    orchestrator: str, device_name: str, gateway: str | None = None, access: str | None = None
) -> dict[str, Any]:
    """Register a device, at a gateway of several by its name, and return the answer (June's field names)."""
    params = {name: value for name, value in (("gateway", gateway), ("access", access)) if value}
    answer = _ask(
        orchestrator, "POST", "register", params=params, json={"device_name": device_name, "device_os": "linux"}
    )
    registered: dict[str, Any] = answer.json()
    return registered


def unregister(orchestrator: str, device_id: str, user: str = USER) -> None:
    """Take a user's device out again; `device_id` is its public key."""
    _ask(orchestrator, "DELETE", "unregister", user, params={"device_id": device_id})


def _ask(orchestrator: str, method: str, call: str, user: str = USER, **content: Any) -> httpx.Response:  # noqa: ANN401
    url = f"{orchestrator}{_PATH}/{call}"
    try:
        # No proxy of the user's environment stands between the lab and itself.
        with httpx.Client(timeout=TIMEOUT, trust_env=False, headers={USER_HEADER: user}) as client:
            answer = client.request(method, url, **content)
    except httpx.TransportError as error:
        raise StepError(f"June's orchestrator at {url} does not answer: {error}.") from error
    if answer.is_error:
        raise StepError(f"June's orchestrator refused to {call} the device ({answer.status_code}): {answer.text}")
    return answer
