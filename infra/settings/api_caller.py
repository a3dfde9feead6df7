"""The section `api_from[]`: who reaches an API inside the cluster."""

from typing import Self

from pydantic import Field, model_validator

from infra.settings.kubernetes_names import Labels
from infra.settings.section import Section
from infra.settings.value_types import Network, ObjectName


class ApiCaller(Section):
    """Pods that reach the API, by their namespace, their labels or both; or a network."""

    namespace: ObjectName | None = None
    """The pods' namespace; the API's own when not set."""
    pod_labels: Labels = Field(default_factory=dict)
    """Labels of the pods; every pod of the namespace when not set."""
    network: Network | None = None
    """Addresses outside of the cluster's pods, such as 10.0.0.0/24."""

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        pods = self.namespace is not None or bool(self.pod_labels)
        if pods == (self.network is not None):
            raise ValueError("give a network, or a namespace and pod_labels (one of them or both)")
        return self
