#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_cluster_trust
short_description: Mend host keys, root's keys and the certificate of a member of a Proxmox VE cluster
version_added: "0.1.0"
description:
  - >-
    Runs on each member of a quorate cluster. Finds what contradicts the members' real host keys, as after a reinstall,
    and mends it by exact name and address.
  - Sets up root's shared keys as Proxmox VE does, and makes the node's own certificate anew where it is of no use.
author:
  - The sddc.pve contributors (@sddc-pve)
requirements:
  - "Runs as root on a Proxmox VE node (C(become: true)); needs no Python there."
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing anything.
    support: full
    details:
      - Says what would be mended and shows the diff. Takes no lock.
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
  nodes:
    description:
      - >-
        The nodes of the cluster, with their facts: their host keys come over the connection to each node, which is
        trusted already. Nothing is changed about a member whose facts are not given.
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
  renew_days:
    description:
      - A certificate that ends within so many days is made anew, 0 to 700. Proxmox VE makes it for 730 days.
    type: int
    default: 30
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
      - Seconds for everything.
    type: int
    default: 120
notes:
  - >-
    B(Known hosts:) C(/etc/pve/priv/known_hosts), C(ssh_known_hosts) and C(ssh_known_hosts2) in C(/etc/ssh),
    C(known_hosts) and C(known_hosts2) in C(/root/.ssh), and C(/etc/pve/nodes/NODE/ssh_known_hosts). A key that stands
    under a member's exact name or address, hashed ones included, and that the member does not have, is replaced by the
    one that it has. Patterns, markers, other ports, key types that the member has no key of, and all other lines stay
    as they are, byte for byte.
  - >-
    B(Root's keys:) C(/root/.ssh/authorized_keys) as a link into C(/etc/pve), root's key among the cluster's, the host
    key where the other nodes look for it, by C(pvecm updatecerts). Keys that only this node authorised go on to let in
    here, and don't become the cluster's. Keys of nodes that left are told, and never removed.
  - >-
    B(Certificate:) C(pvecm updatecerts --force) where the node's own one is missing, unreadable, has ended or soon
    will, is of another key, another name or another authority; then pveproxy is reloaded, and must show it. A key that
    can't be read is removed before. Other nodes' certificates and C(pveproxy-ssl.pem) are never touched. Where the
    cluster's authority itself is missing or ends within two weeks, the module fails and says what to do.
  - "Fails without quorum: C(/etc/pve) can't be written then."
  - Members mend one after the other, under a lock of the cluster.
seealso:
  - module: sddc.pve.pve_cluster_info
    description: Gathers each node's host keys.
  - module: sddc.pve.pve_cluster_validate
    description: Tells of certificates and keys that are not as they should be.
"""

EXAMPLES = r"""
---
- name: Gather the facts of the nodes
  sddc.pve.pve_cluster_info:
  register: node

- name: Mend by what the members are trusted
  sddc.pve.pve_cluster_trust:
    cluster_name: sddc-cluster
    nodes:
      - name: node1
        address: 10.10.1.21
        info: "{{ hostvars['node1'].node.info }}"
      - name: node2
        address: 10.10.1.22
        info: "{{ hostvars['node2'].node.info }}"

- name: Make the certificate anew in its last three months
  sddc.pve.pve_cluster_trust:
    cluster_name: sddc-cluster
    nodes: []
    renew_days: 90
"""

RETURN = r"""
---
msg:
  description:
    - What was found or done, in a sentence.
  returned: always
  type: str
mended:
  description:
    - What was wrong and is mended now, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample:
    - "/root/.ssh/known_hosts line 3: another ssh-ed25519 key of pve2"
notes:
  description:
    - >-
      What somebody should look at and this module does not change, such as keys of nodes that left. Each is a warning
      too.
  returned: always
  type: list
  elements: str
unverified:
  description:
    - Members whose host keys were not given.
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
