#!/usr/bin/python
"""Ansible module: check that a cluster answers and has the expected nodes."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.knative.kubectl import Kubectl, KubectlError

DOCUMENTATION = r"""
module: knative_nodes
short_description: Check that a cluster answers and has the expected nodes
options:
  kubectl: {description: Program and arguments that talk to the cluster., type: list, elements: str, required: true}
  nodes: {description: Names of the expected nodes., type: list, elements: str, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Check the cluster's nodes
  knative_nodes:
    kubectl: [k3s, kubectl]
    nodes: [edge-1, cloud-1]
"""
RETURN = r"""
versions: {description: "kubelet's version by node.", type: dict, returned: always}
"""


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "kubectl": {"type": "list", "elements": "str", "required": True},
            "nodes": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        nodes = Kubectl(module.params["kubectl"]).objects("get", "nodes")
    except KubectlError as error:
        module.fail_json(
            msg=f"The cluster does not answer: {error}. Deploy it (playbooks/cluster.yml) or correct kubeconfig in the inventory."
        )
    versions = {node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes}
    missing = sorted(set(module.params["nodes"]) - set(versions))
    if missing:
        module.fail_json(
            msg=f"The cluster has no node {', '.join(missing)}, it has {', '.join(sorted(versions))}. "
            "Correct knative_gateway_nodes and knative_system_node."
        )
    module.exit_json(changed=False, versions=versions)


if __name__ == "__main__":
    main()
