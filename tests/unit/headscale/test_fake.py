"""The fake answers as real servers did."""

import pytest

from tests.unit.headscale import answers
from tests.unit.headscale.fake import VERSIONS, FakeHeadscale, Version


@pytest.mark.parametrize("version", VERSIONS)
def test_fake_answers_as_recorded(version: Version) -> None:
    fake = FakeHeadscale(version)
    (recorded,) = answers.RECORDED.glob(f"{version}.*.txt")
    answers.hold(recorded.stem, answers.record(fake, fake))
