"""The long proofs look at the lab with the same eyes as the e2e tests."""

from tests.e2e.conftest import stack

__all__ = ["stack"]
