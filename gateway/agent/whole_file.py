"""A file between the agent and another process: a reader sees the old one or the new one, whole."""

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Put a text into a file for its owner alone; OSError. Of a killed writer one draft stays, for the next."""
    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
