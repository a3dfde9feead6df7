"""Where the peer API has a device."""


def device_path(device_id: str) -> str:
    """The id stands there in the URL-safe alphabet."""
    return f"/v1/peers/{device_id.replace('/', '_').replace('+', '-')}"
