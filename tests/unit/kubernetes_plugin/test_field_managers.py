"""Who owns which field before and after an update."""

from lab.kubernetes_plugin.field_managers import created_by_pulumi, new_manager, take_over
from tests.unit.kubernetes_plugin.recorded import FIELDS_EDITED_BY_HAND, FIELDS_OF_A_CREATE

OURS = "pulumi-kubernetes-6acef9dc"


def test_the_fields_of_the_create_become_the_resources_own() -> None:
    entries = take_over(FIELDS_OF_A_CREATE, OURS)
    assert entries == [{**FIELDS_OF_A_CREATE[0], "manager": OURS, "operation": "Apply"}]
    assert created_by_pulumi(FIELDS_OF_A_CREATE)


def test_fields_edited_with_kubectl_come_back() -> None:
    entries = take_over(FIELDS_EDITED_BY_HAND, OURS)
    assert entries is not None
    assert [(entry["manager"], entry["fieldsV1"]) for entry in entries] == [(OURS, {"f:data": {"f:a": {}}})]


def test_fields_of_controllers_and_other_programs_stay_theirs() -> None:
    status = {**FIELDS_OF_A_CREATE[0], "subresource": "status"}
    helm = {**FIELDS_OF_A_CREATE[0], "manager": "helm", "operation": "Apply"}
    assert take_over([status, helm], OURS) is None
    assert not created_by_pulumi([status, helm])
    entries = take_over([helm, *FIELDS_OF_A_CREATE], OURS)
    assert entries is not None
    assert [entry["manager"] for entry in entries] == ["helm", OURS]


def test_what_was_applied_before_is_not_lost() -> None:
    applied = {**FIELDS_OF_A_CREATE[0], "manager": OURS, "operation": "Apply", "fieldsV1": {"f:spec": {"f:b": {}}}}
    entries = take_over([applied, *FIELDS_OF_A_CREATE], OURS)
    assert entries is not None
    assert entries[-1]["fieldsV1"] == {"f:spec": {"f:b": {}, ".": {}, "f:a": {}}}
    assert take_over([applied], OURS) is None


def test_every_resource_has_a_manager_of_its_own() -> None:
    first, second = new_manager(), new_manager()
    assert first != second
    assert first.startswith("pulumi-kubernetes-")
    assert len(first) == len(OURS)
