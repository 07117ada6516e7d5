#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_cluster_member
short_description: Admit nodes to a Proxmox VE cluster, on one of its members
version_added: "0.1.0"
description:
  - >-
    Runs on a quorate member. Lists new nodes in the cluster's configuration and returns, sealed to a key that each of
    them made, what they need to become members.
  - >-
    A node that is listed with the same addresses already gets material again, without a change, whether it is up or
    not: its join may have been cut off and begins anew.
author:
  - The sddc.pve contributors (@sddc-pve)
requirements:
  - "Runs as root on a Proxmox VE node (C(become: true)); needs no Python there."
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing anything.
    support: full
    details:
      - Runs all checks and shows corosync.conf as it would be. No join material is returned.
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
      - "V(present) admits the nodes: it lists them in the cluster's configuration and returns what they need to join."
      - >-
        V(absent) takes nodes off the list, once they are off or separated, and removes what they leave: their
        directories in C(/etc/pve/nodes), of which a copy is kept, root's keys of them, host keys under their names and
        addresses, their names in HA rules and groups.
      - Where a node is not listed any more, V(absent) removes what is left of it, on this member and in C(/etc/pve).
    type: str
    default: present
    choices:
      - present
      - absent
  nodes:
    description:
      - >-
        The nodes. Several are admitted one after the other, and each gets the same, final corosync.conf; all of them
        must then be started together.
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
          - Address of link 0 when O(nodes[].links) is not given.
        type: str
      links:
        description:
          - Its links, the same numbers as those of the cluster.
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
          - corosync's node id. The lowest free one when not given.
        type: int
      votes:
        description:
          - Its votes. 1 when not given.
        type: int
      public_key:
        description:
          - >-
            Public key from RV(sddc.pve.pve_cluster_join#module:join_request) of that node. Needed for O(state=present),
            but for a node that is online.
        type: str
      proven_stopped:
        description:
          - >-
            That node's own connection has shown that its corosync is stopped and its configuration gone, as
            RV(sddc.pve.pve_cluster_join#module:stopped) of a failed join says. For O(state=absent).
        type: bool
        default: false
      nodes_before:
        description:
          - >-
            Number of nodes that the cluster had before that node's join, as
            RV(sddc.pve.pve_cluster_join#module:nodes_before) of a failed join says. For O(state=absent).
        type: int
  only_pending:
    description:
      - >-
        Refuse to take a node off the list that has been a member, so that only admissions that did not end are taken
        back. For O(state=absent).
    type: bool
    default: false
  guests:
    description:
      - >-
        IDs of guests that may go with the nodes: the cluster forgets their configuration, and only the copy has it. Any
        other guest on a node makes the module refuse. For O(state=absent).
    type: list
    elements: int
    default: []
  ignore:
    description:
      - Refusals of O(state=absent) that are to be none.
      - "V(node-answers): a machine answers at an address of the node, and it is known to be another one."
      - "V(replication): jobs that replicate guests to the node stay, and fail from now on."
    type: list
    elements: str
    default: []
    choices:
      - node-answers
      - replication
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
      - Seconds for the whole operation. Each admission takes two to three seconds.
    type: int
    default: 120
notes:
  - >-
    Admission refuses what would cost quorum until the new nodes are up: every listed node must be online, and with E
    expected and O online votes no more than 2 O - E - 1 votes are admitted at once; the one exception is the second
    node of a cluster of one.
  - >-
    It refuses a taken name, address or node id and links that differ from the cluster's. A taken node id is accepted by
    C(pvesh), and then corosync starts on neither side.
  - >-
    Removal is refused, by id: V(own-node); V(node-online), which would come back with its old configuration, and
    V(node-answers) unless O(nodes[].proven_stopped); V(no-quorum), and V(quorum-forecast) of a node that is online;
    V(guests); V(ha-resources) that the HA manager has placed on the node, and V(ha-active) until it has fenced the
    node; V(replication); V(qdevice), as pvecm(1) has it; V(pending-admission) of another node.
  - >-
    Of these O(ignore) takes only what costs neither data nor quorum, and guests must be named one by one. The rest
    can't be overridden: a lost quorum can't be told from a partition, and a guest that HA may still run elsewhere must
    not be forgotten.
  - >-
    Removal runs as a transient systemd unit with a journal, as every operation. It goes forward only: one that was cut
    off is taken up by the next run. Run it on every other member too: each has host keys of its own.
  - >-
    A rule or group of HA that names no other node stays, with a warning, as do names in C(storage.cfg), C(jobs.cfg) and
    C(replication.cfg).
  - >-
    A node of a wave is taken off the list only when every other node that is listed and was never online is proven to
    be stopped as well: one that starts with an older corosync.conf hangs.
  - >-
    Removing the second node of a cluster without quorum needs C(pvecm expected 1). That is done only when a journal
    shows that it was the second (the one of the admission on this node, or the one of the join, as
    O(nodes[].nodes_before) says), and O(nodes[].proven_stopped=true).
seealso:
  - module: sddc.pve.pve_cluster_join
    description: Makes the key, and takes the material.
  - name: pvecm(1)
    link: https://pve.proxmox.com/pve-docs/pvecm.1.html
    description: Quorum and removal of nodes.
"""

EXAMPLES = r"""
---
- name: Ask the joining node for a key
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    state: requested
  register: request

- name: Admit it on a member
  sddc.pve.pve_cluster_member:
    cluster_name: sddc-cluster
    nodes:
      - name: node2
        links:
          - number: 0
            address: 10.10.1.22
        public_key: "{{ request.join_request.public_key }}"
  delegate_to: node1
  register: admission

- name: Take a node off the list that never came up
  sddc.pve.pve_cluster_member:
    cluster_name: sddc-cluster
    state: absent
    only_pending: true
    nodes:
      - name: node2
  delegate_to: node1

- name: Remove a member that is switched off, and what it leaves
  sddc.pve.pve_cluster_member:
    cluster_name: sddc-cluster
    state: absent
    nodes:
      - name: node4
        address: 10.10.1.24
  delegate_to: node1
"""

RETURN = r"""
---
msg:
  description:
    - What was found or done, in a sentence.
  returned: always
  type: str
join_material:
  description:
    - >-
      For each node with O(nodes[].public_key): what it needs, sealed to its key. It holds corosync's authkey, but only
      the node that made the key can open it, once.
  returned: with O(state=present), not in check mode
  type: dict
admitted:
  description:
    - Nodes that this run listed.
  returned: always
  type: list
  elements: str
pending:
  description:
    - Nodes that were listed already and are not online.
  returned: always
  type: list
  elements: str
online:
  description:
    - Nodes that are members already.
  returned: always
  type: list
  elements: str
removed:
  description:
    - Nodes that this run took off the list.
  returned: with O(state=absent)
  type: list
  elements: str
copies:
  description:
    - >-
      Paths on this member of copies of the directories that were removed, for root only. They hold the nodes' private
      keys, and the configuration of guests. The newest ten copies stay.
  returned: with O(state=absent)
  type: list
  elements: str
refusals:
  description:
    - Ids of the reasons for which it refused.
  returned: when O(state=absent) is refused
  type: list
  elements: str
  sample:
    - guests
    - node-online
config_version:
  description:
    - C(config_version) of corosync.conf.
  returned: always
  type: int
  sample: 3
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
