"""A kind that the cluster does not know is refused by one sentence that names the setting."""

from typing import Any

import pytest

from infra.kubernetes.client import KubernetesClient
from infra.kubernetes.custom_kinds import MONITORING, UnknownKindError, refuse_unknown


class Cluster(KubernetesClient):
    """Serves these APIs."""

    def __init__(self, *served: str) -> None:
        super().__init__(None)
        self._served = served

    def get(self, path: str, query: object = None) -> dict[str, Any] | None:
        return {"resources": []} if path in self._served else None


def test_where_the_operator_is_its_kinds_are_taken() -> None:
    refuse_unknown(Cluster("/apis/monitoring.coreos.com/v1"), MONITORING, "gateway one: `monitoring`")


def test_without_the_operator_the_sentence_names_the_setting() -> None:
    with pytest.raises(UnknownKindError) as refused:
        refuse_unknown(Cluster("/apis/apps/v1"), MONITORING, "gateway one: `monitoring`")
    assert str(refused.value) == (
        "gateway one: `monitoring` needs monitoring.coreos.com/v1, which the cluster does not serve: install the "
        "Prometheus operator, or leave the setting out and scrape /metrics by other means."
    )
