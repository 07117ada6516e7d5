#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python module of equal work for the benchmark: the arguments of pve_cluster_plan in, a plan as large out."""

from __future__ import annotations

import time

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Take nodes without facts and refuse each of them, as pve_cluster_plan does."""
    began = time.monotonic()
    module = AnsibleModule(
        argument_spec={
            "cluster_name": {"type": "str", "required": True},
            "nodes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "address": {"type": "str"},
                    "info": {"type": "dict"},
                },
            },
            "fail_on_refuse": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    plan = {
        node["name"]: {"action": "refuse", "reason": "its facts are not known: reach it and run again"}
        for node in module.params["nodes"]
    }
    report = [f"{name}: {step['action']}: {step['reason']}" for name, step in plan.items()]
    module.exit_json(
        changed=False,
        msg=f"cluster {module.params['cluster_name']!r}: nothing can be done",
        plan=plan,
        report=report,
        primary=None,
        elapsed=time.monotonic() - began,
    )


if __name__ == "__main__":
    main()
