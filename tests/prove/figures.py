"""What the proofs measured, told at the end of the run: pytest keeps to itself what a test that passes prints."""

SHOWN: list[str] = []
"""In the order in which they came."""


def show(figure: str) -> None:
    """Have a figure told."""
    SHOWN.append(figure)
