#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_cluster_recover
short_description: Diagnose a broken Proxmox VE cluster, and apply safe remedies
version_added: "0.1.0"
description:
  - >-
    Says from the facts of all nodes what is wrong with a cluster: who sees whom, configurations that differ, missing
    quorum, joins that hang, half members, operations that were cut off, services that are down.
  - >-
    Told to, it finishes or undoes operations that were cut off, gives nodes with an older corosync.conf the cluster's,
    has every corosync read it again where one did not, and starts services. Whatever can't be told from a partition is
    left to a person, with the commands.
author:
  - The sddc.pve contributors (@sddc-pve)
requirements:
  - "Runs as root on a Proxmox VE node (C(become: true)); needs no Python there."
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing anything.
    support: full
    details:
      - Says which remedies would be carried out on this node.
  diff_mode:
    description: Returns what changed, or would change in check mode, when run in diff mode.
    support: "none"
  platform:
    description: The systems the module runs on.
    support: full
    platforms: debian
options:
  cluster_name:
    description:
      - >-
        Name of the cluster: 1 to 15 characters, letters, digits and hyphens, as a node name. It cannot be changed
        later.
    type: str
    required: true
  nodes:
    description:
      - All nodes of the cluster, with the facts of those that could be asked.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - "Node name: the host name up to the first dot."
        type: str
        required: true
      address:
        description:
          - Address at which the other nodes reach its ssh and its API.
        type: str
        required: true
      links:
        description:
          - Its corosync links. Link 0 on O(nodes[].address) when not given.
        type: list
        elements: dict
        suboptions:
          number:
            description:
              - >-
                Number of the link. All nodes of a cluster have the same links. corosync uses UDP port 5405 plus this
                number.
            type: int
            required: true
            choices:
              - 0
              - 1
              - 2
              - 3
              - 4
              - 5
              - 6
              - 7
          address:
            description:
              - IP address of the node on this link.
            type: str
            required: true
          priority:
            description:
              - >-
                C(knet_link_priority), 0 to 255. With C(link_mode: passive), which Proxmox VE writes, the connected link
                with the B(highest) number carries the traffic (corosync.conf(5)); the API's own description says the
                opposite. Counts when the cluster is created.
            type: int
      nodeid:
        description:
          - corosync's node id for it. The lowest free one when not given.
        type: int
      votes:
        description:
          - Its votes in the quorum. 1 when not given.
        type: int
      version:
        description:
          - Its version of pve-manager, where it is known and O(nodes[].info) is not given.
        type: str
      info:
        description:
          - >-
            What M(sddc.pve.pve_cluster_info) returned as RV(sddc.pve.pve_cluster_info#module:info) for it. Not given
            for a node that could not be reached or is outside of C(--limit).
        type: dict
  apply:
    description:
      - >-
        Carry out those remedies that are safe, on the node that this runs on: run it on every node. Without it nothing
        is changed.
    type: bool
    default: false
  audit:
    description:
      - >-
        With V(required) nothing is done where no line can be written to C(/var/log/pve-cluster-audit.jsonl), as on a
        full disk. With V(best_effort) it is done all the same, with a warning.
    type: str
    default: required
    choices:
      - required
      - best_effort
  timeout:
    description:
      - Seconds for the remedies of this node.
    type: int
    default: 180
notes:
  - >-
    The truth is what a quorate member has. Where none is quorate, a newer corosync.conf is handed on only when every
    node that it lists was asked: else the silent ones may be the cluster, and the others cut off.
  - "Nothing here lowers the votes that are expected, and nothing is removed: such commands are printed for a person."
seealso:
  - module: sddc.pve.pve_cluster_info
    description: Gathers what O(nodes[].info) takes.
  - module: sddc.pve.pve_cluster_validate
    description: Proves that the cluster is well again.
"""

EXAMPLES = r"""
---
- name: Gather the facts of all nodes
  sddc.pve.pve_cluster_info:
  register: node

- name: Diagnose the cluster
  sddc.pve.pve_cluster_recover:
    cluster_name: sddc-cluster
    nodes:
      - name: node1
        address: 10.10.1.21
        info: "{{ hostvars['node1'].node.info | default(omit) }}"
      - name: node2
        address: 10.10.1.22
        info: "{{ hostvars['node2'].node.info | default(omit) }}"
  run_once: true
  register: diagnosis
"""

RETURN = r"""
---
msg:
  description:
    - What was found or done, in a sentence.
  returned: always
  type: str
diagnoses:
  description:
    - What is wrong with the cluster, in an order in which it may be mended.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description:
        - >-
          V(unreachable), V(unknown-node), V(unfinished-operation), V(broken-configuration), V(other-cluster),
          V(address-not-local), V(remnants), V(two-quorate-parts), V(no-quorum), V(duplicate-nodeid), V(removed),
          V(not-reloaded), V(half-member), V(older-configuration), V(service-down), V(cut-off) or V(incomplete-member).
      returned: always
      type: str
    node:
      description:
        - The node; empty for the cluster as a whole.
      returned: always
      type: str
    finding:
      description:
        - What is.
      returned: always
      type: str
    remedy:
      description:
        - What is to be done.
      returned: always
      type: str
    action:
      description:
        - >-
          What does it: V(settle), V(adopt), V(reload) and V(start) this module on the node, V(mend)
          M(sddc.pve.pve_cluster_trust) on the node, V(withdraw) M(sddc.pve.pve_cluster_member) on a member, V(person)
          nothing: somebody must decide.
      returned: always
      type: str
report:
  description:
    - "The same as a table: who sees whom, what is wrong, what to do."
  returned: always
  type: list
  elements: str
withdraw:
  description:
    - Nodes to be taken off the list where they never came up.
  returned: always
  type: list
  elements: str
mend:
  description:
    - Members without a certificate.
  returned: always
  type: list
  elements: str
member:
  description:
    - The member whose configuration counts; C(null) without one.
  returned: always
  type: str
applied:
  description:
    - What was done on this node.
  returned: always
  type: list
  elements: str
steps:
  description:
    - The steps of the operation, in order.
  returned: always
  type: list
  elements: dict
  sample:
    - name: gather facts
      status: ok
      elapsed: 0.039
      detail: ""
  contains:
    name:
      description:
        - What the step is.
      returned: always
      type: str
    status:
      description:
        - V(ok), V(failed) or V(skipped).
      returned: always
      type: str
    elapsed:
      description:
        - Seconds it took.
      returned: always
      type: float
    detail:
      description:
        - What it found; empty where there is nothing to say.
      returned: always
      type: str
elapsed:
  description:
    - Seconds the module took on the node.
  returned: always
  type: float
  sample: 0.041
"""
