"""IPsec: IKEv2 by strongSwan's charon, certificates alone, and the agent as its allow-list, told by vici.

charon keeps nothing on disk: whom it lets in, the agent loads. ESP is the kernel's, or charon's own in user space.
"""

from pathlib import Path


def socket(directory: Path) -> Path:
    """Where charon takes commands."""
    return directory / "charon.vici"
