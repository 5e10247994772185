#!/usr/bin/python
"""Ansible module: what of Knative the artifacts' folder of the controller holds, every file as it was verified."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node.artifacts import ArtifactError, Artifacts

DOCUMENTATION = r"""
module: knative_artifacts
short_description: Check the files that Knative is installed from
options:
  folder: {description: The artifacts' folder., type: path, required: true}
  names: {description: The files' names., type: list, elements: str, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Check the release files
  knative_artifacts:
    folder: /root/.cache/faasbed/artifacts
    names: [serving-crds.yaml, serving-core.yaml, kourier.yaml]
"""
RETURN = r"""
files: {description: "By name: sha256, origin, and how it was verified.", type: dict, returned: always}
"""


def files_of(folder: Path, names: list[str]) -> dict[str, dict[str, str]]:
    """Return what each file is."""
    artifacts = Artifacts(folder)
    missing = [name for name in names if not artifacts.has(name)]
    if missing:
        raise ArtifactError(
            f"{folder} lacks {', '.join(missing)}; run `make artifacts`, or set FAASBED_ARTIFACTS to the folder that has "
            "them"
        )
    return {name: artifacts.verified(name) for name in names}


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        files = files_of(Path(module.params["folder"]), module.params["names"])
    except ArtifactError as error:
        module.fail_json(msg=f"{error}.")
    module.exit_json(changed=False, files=files)


if __name__ == "__main__":
    main()
