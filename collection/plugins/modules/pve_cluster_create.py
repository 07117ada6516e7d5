#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_cluster_create
short_description: Create a Proxmox VE cluster on its first node
version_added: "0.1.0"
description:
  - >-
    Creates a cluster of this one node and ends when it is quorate, C(/etc/pve) takes writes and the API answers with
    the node's certificate.
  - >-
    A node that is in the cluster of that name already is left as it is; differences are reported as warnings. A node
    that is in another cluster is refused.
author:
  - The sddc.pve contributors (@sddc-pve)
requirements:
  - "Runs as root on a Proxmox VE node (C(become: true)); needs no Python there."
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing anything.
    support: full
    details:
      - Runs all checks that only read, and shows corosync.conf as it would be.
  diff_mode:
    description: Returns what changed, or would change in check mode, when run in diff mode.
    support: full
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
  state:
    description:
      - V(present) makes the cluster.
      - >-
        V(claimed) keeps this node for one controller that is about to form a cluster with it, and fails while another
        one has it. Nothing that nodes share could tell the other controller before there is a cluster: who has claimed
        every node, and has looked at them once more, is the only one to create it. No change of the node.
      - V(released) gives it free, if it is kept for this one.
    type: str
    default: present
    choices:
      - present
      - claimed
      - released
  claim:
    description:
      - >-
        Name of the controller's run, which no other one has: V(claimed) and V(released) need it. With V(present), the
        cluster is made only while the node is kept for it; without, only while it is kept for nobody.
    type: str
  lifetime:
    description:
      - Seconds after which V(claimed) ends by itself, should the controller die.
    type: int
    default: 60
  links:
    description:
      - >-
        Corosync links of this node. Link 0 on the address of the node's own name when not given. Every node that joins
        later needs the same link numbers.
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
      - corosync's node id of this node.
    type: int
    default: 1
  votes:
    description:
      - Votes of this node in the quorum.
    type: int
    default: 1
  token_coefficient:
    description:
      - >-
        Milliseconds by which every node beyond the second lengthens corosync's token time-out (corosync.conf(5)).
        Proxmox VE 9 writes 125 when not given; older versions take no such option.
    type: int
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
      - >-
        Seconds for the whole operation. When they are over the node is separated again, and the end of corosync's log
        is in the error.
    type: int
    default: 120
notes:
  - >-
    C(pvecm create) exits 0 on several failures, such as a link address that is not local. Success is what corosync,
    /etc/pve and the API show afterwards.
  - >-
    Runs as a transient systemd unit with a journal in C(/var/lib/sddc-pve/operations), so a connection that is cut does
    not stop it; a second run attaches to it.
  - "Guests on the node are kept: they become guests of the cluster's first node."
  - >-
    Root's authorised keys are copied to C(/root/.ssh/authorized_keys2) first, so that ssh needs neither /etc/pve nor
    quorum.
seealso:
  - module: sddc.pve.pve_cluster_plan
    description: Says which node should create the cluster.
  - module: sddc.pve.pve_cluster_join
    description: Makes the other nodes members.
  - name: pvecm(1)
    link: https://pve.proxmox.com/pve-docs/pvecm.1.html
    description: What is driven here.
"""

EXAMPLES = r"""
---
- name: Create the cluster on the first node
  sddc.pve.pve_cluster_create:
    cluster_name: sddc-cluster
    links:
      - number: 0
        address: 10.10.1.21
        priority: 20
      - number: 1
        address: 10.10.2.21
        priority: 10
"""

RETURN = r"""
---
msg:
  description:
    - What was found or done, in a sentence.
  returned: always
  type: str
cluster:
  description:
    - Name of the cluster.
  returned: always
  type: str
  sample: sddc-cluster
members:
  description:
    - Names of the nodes that are online, as this node sees it.
  returned: always
  type: list
  elements: str
  sample:
    - pve1
    - pve2
config_version:
  description:
    - C(config_version) of corosync.conf.
  returned: always
  type: int
  sample: 3
fingerprint:
  description:
    - SHA-256 fingerprint of the certificate that the node's API serves.
  returned: always
  type: str
attached:
  description:
    - The same operation was under way, begun by an earlier run; this run waited for its end.
  returned: always
  type: bool
operation:
  description:
    - Id of the operation's journal in C(/var/lib/sddc-pve/operations).
  returned: on failure of an operation, or when attached to one
  type: str
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
