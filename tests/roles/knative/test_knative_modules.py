"""What the role's modules make of what kubectl says; the statuses are those of a real cluster."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.knative.kubectl import Kubectl, KubectlError, complaint, declared_part, name_of, parse
from ansible.module_utils.node.artifacts import ArtifactError
from hypothesis import given
from hypothesis import strategies as st
from knative_absent import Removal
from knative_apply import check, difference
from knative_artifacts import files_of
from knative_ready import trouble_of, unready

if TYPE_CHECKING:
    from pathlib import Path


def deployment(**status: int) -> dict[str, Any]:
    """A Deployment of two pods, as the API shows it."""
    return {"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": {"observedGeneration": 2} | status}


@given(st.lists(st.dictionaries(st.text(), st.text()), max_size=5), st.sampled_from(["", "\n", "\n  \n"]))
def test_objects_are_read_however_kubectl_parts_them(objects: list[dict[str, str]], between: str) -> None:
    assert parse(between.join(json.dumps(one) for one in objects) + between) == objects


def test_a_lists_items_are_read_one_by_one_and_an_empty_answer_is_none() -> None:
    assert parse('{"kind": "List", "items": [{"kind": "Pod"}, {"kind": "Node"}]}') == [
        {"kind": "Pod"},
        {"kind": "Node"},
    ]
    assert parse("\n") == []


@pytest.mark.parametrize(
    ("thing", "state"),
    [
        (deployment(updatedReplicas=2, availableReplicas=2, replicas=2), None),
        (deployment(updatedReplicas=2, availableReplicas=1, replicas=2), "1 of 2 pods ready"),
        (deployment(), "0 of 2 pods ready"),
        # The old gateway serves, the new one does not yet.
        (deployment(updatedReplicas=1, availableReplicas=2, replicas=2), "1 of 2 pods ready"),
        (deployment(updatedReplicas=2, availableReplicas=2, replicas=3), "2 of 2 pods ready"),
        (deployment(observedGeneration=1, updatedReplicas=2, availableReplicas=2), "not seen yet by the cluster"),
    ],
)
def test_a_deployment_is_ready_only_when_all_its_pods_are_new_and_available(
    thing: dict[str, Any], state: str | None
) -> None:
    assert unready(thing) == state


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        ({"conditions": [{"type": "Ready", "status": "True"}]}, None),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
                ]
            },
            ("Unschedulable", "0/2 nodes"),
        ),
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such host"}}}]},
            ("ImagePullBackOff", "no such host"),
        ),
        ({"phase": "Failed", "reason": "SysctlForbidden", "message": "forbidden"}, ("SysctlForbidden", "forbidden")),
        (
            {
                "conditions": [{"type": "Ready", "status": "False", "message": "containers with unready status: [a]"}],
                "containerStatuses": [{"state": {"running": {}}}],
            },
            ("NotReady", "containers with unready status: [a]"),
        ),
    ],
)
def test_a_pod_says_why_it_does_not_run(status: dict[str, Any], trouble: tuple[str, str] | None) -> None:
    assert trouble_of({"status": status}) == trouble


def test_what_a_server_adds_is_no_difference_and_what_somebody_set_is() -> None:
    kept: dict[str, Any] = {
        "kind": "Service",
        "metadata": {"name": "kourier", "namespace": "kourier-system"},
        "spec": {"type": "NodePort"},
    }
    served = kept | {
        "metadata": kept["metadata"] | {"resourceVersion": "812", "managedFields": [], "uid": "x", "generation": 3},
        "status": {"loadBalancer": {}},
    }
    assert declared_part(served) == kept
    assert declared_part(served | {"spec": {"type": "LoadBalancer"}}) != kept
    shown = difference(name_of(served), kept, declared_part(served | {"spec": {"type": "LoadBalancer"}}))
    assert shown["before_header"] == "Service kourier-system/kourier"
    assert '"NodePort"' in shown["before"]
    assert '"LoadBalancer"' in shown["after"]


def test_a_long_complaint_keeps_its_end_and_warnings_are_none() -> None:
    assert complaint("Warning: old\nfirst\n\nsecond\n") == "first; second"
    assert complaint("x" * 5000 + "the reason").endswith("the reason")
    assert len(complaint("x" * 5000)) < 700


def test_a_kubectl_that_is_not_there_is_an_error_with_its_name() -> None:
    with pytest.raises(KubectlError, match=r"kubectl get namespaces .* failed: /no/kubectl: No such file"):
        Removal(Kubectl(["/no/kubectl"]), 1).existing()


def test_a_text_that_is_not_the_one_that_was_verified_is_not_applied() -> None:
    files = {"kourier.yaml": "kind: Service\n", "kustomization.yaml": "resources: [kourier.yaml]\n"}
    verified = {"kourier.yaml": {"sha256": hashlib.sha256(b"kind: Service\n").hexdigest()}}
    check(files, verified)
    with pytest.raises(
        KubectlError, match=r"kourier\.yaml was changed since it was checked: sha256 .*, expected .*; run"
    ):
        check(files | {"kourier.yaml": "kind: Service"}, verified)


def test_release_files_that_are_missing_are_named_before_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "kourier.yaml").write_text("kind: Service\n", "utf-8")
    with pytest.raises(ArtifactError, match=r"lacks serving-core\.yaml; run `make artifacts`"):
        files_of(tmp_path, ["serving-core.yaml", "kourier.yaml"])
    with pytest.raises(
        ArtifactError, match=r"kourier\.yaml was never verified: artifacts\.json beside it does not list"
    ):
        files_of(tmp_path, ["kourier.yaml"])
