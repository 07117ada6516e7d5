#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_cluster_plan
short_description: Plan who creates a Proxmox VE cluster and who joins it
version_added: "0.1.0"
description:
  - >-
    Takes the facts of all nodes and the wanted cluster, and says for each node whether it creates the cluster, joins
    it, needs nothing, or is refused, with the reason and the remedy.
  - >-
    Refuses nodes of another cluster, clashes of names and addresses, taken node ids, links that the cluster does not
    have, nodes with guests or with traces of an earlier cluster, and any join while the cluster is without quorum or
    has a quorum device.
  - >-
    Puts those who join into waves: with E votes expected and O online, no more than 2 O - E - 1 votes are admitted
    together, so that the members stay quorate until the new nodes are up: 1, 1, 2, 4, 8 nodes. The second node of a
    cluster is the one exception.
  - >-
    Foretells votes, quorum and how many nodes may fail before and after each wave, gives advice, and shows
    corosync.conf as it will be.
author:
  - The sddc.pve contributors (@sddc-pve)
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing anything.
    support: full
    details:
      - >-
        Changes nothing in either mode. In check mode C(changed) says whether anything is to be done, so that Ansible
        shows the diff; else it is V(false).
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
        All nodes of the wanted cluster, in the order in which they are to join, with the facts of those that could be
        looked at.
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
  primary:
    description:
      - >-
        Name of the node that is to create the cluster, or of the member that is to admit the others. When not given,
        the only node with guests creates it (a node that joins may have none), else the first; and the first quorate
        member admits.
    type: str
  token_coefficient:
    description:
      - >-
        C(totem.token_coefficient) of a new cluster in milliseconds, for the preview of corosync.conf. 125 when not
        given, as C(pvecm create) sets it.
    type: int
  link_networks:
    description:
      - >-
        Network of each link by its number, as in V({0: 10.10.1.0/24, 1: 10.10.2.0/24}). Each node then takes the one
        address it has there. An address that O(nodes[].links) gives a link goes first.
    type: dict
  wave_limit:
    description:
      - >-
        The most nodes that may join together: V(1) for methods by which only one node can join at a time. As many as
        quorum allows when not given.
    type: int
  fail_on_refuse:
    description:
      - Fail when a node is refused. With V(false) the refusal is only told in RV(plan).
    type: bool
    default: true
notes:
  - Looks at nothing but its arguments, so it may run on any host of the play, once.
  - >-
    V(create) is planned only when the facts of B(every) node of O(nodes) were gathered and none is a member: a host
    that is unreachable or outside of C(--limit) may be one, and a second cluster of the same name is worse than none.
  - >-
    A node that is listed in the cluster and not online stops every join but its own: its vote is expected and not
    there, and corosync refuses a node that starts with an older corosync.conf.
seealso:
  - module: sddc.pve.pve_cluster_info
    description: Gathers what O(nodes[].info) takes.
  - module: sddc.pve.pve_preflight
    description: Checks the nodes themselves.
  - module: sddc.pve.pve_cluster_create
    description: Creates the cluster on the primary.
  - module: sddc.pve.pve_cluster_join
    description: Joins a node.
"""

EXAMPLES = r"""
---
- name: Gather the facts of all nodes
  sddc.pve.pve_cluster_info:
  register: node

- name: Plan the cluster
  sddc.pve.pve_cluster_plan:
    cluster_name: sddc-cluster
    nodes:
      - name: node1
        address: 10.10.1.21
        info: "{{ hostvars['node1'].node.info | default(omit) }}"
      - name: node2
        address: 10.10.1.22
        info: "{{ hostvars['node2'].node.info | default(omit) }}"
  run_once: true
  register: cluster

- name: Show the plan
  ansible.builtin.debug:
    var: cluster.report
  run_once: true
"""

RETURN = r"""
---
plan:
  description:
    - "What each node does: C(action) is V(create), V(join), V(none) or V(refuse)."
  returned: always
  type: dict
  sample:
    node1:
      action: create
      reason: "no node is in a cluster: it creates it"
primary:
  description:
    - Who creates the cluster or admits the others; C(null) when nobody can.
  returned: always
  type: str
  sample: node1
joins:
  description:
    - "Who joins, in this order: first those whose admission did not end, then those that want a certain node id."
  returned: always
  type: list
  elements: str
  sample:
    - node2
    - node3
    - node4
    - node5
waves:
  description:
    - >-
      The same in waves: all nodes of one are admitted, get the one corosync.conf that lists them all, and are started
      together; then the next.
  returned: always
  type: list
  elements: list
  sample:
    -
      - node2
    -
      - node3
    -
      - node4
      - node5
nodes:
  description:
    - The nodes of O(nodes) without their facts, with the links that O(link_networks) gave them.
  returned: always
  type: list
  elements: dict
  sample:
    - name: node1
      address: "10.10.1.21"
      links:
        - number: 0
          address: "10.10.1.21"
peers:
  description:
    - >-
      The same with those facts that M(sddc.pve.pve_preflight) compares across nodes, for its
      O(sddc.pve.pve_preflight#module:nodes).
  returned: always
  type: list
  elements: dict
members:
  description:
    - Members that are online now, those outside of O(nodes) too.
  returned: always
  type: list
  elements: str
  sample: []
forecast:
  description:
    - >-
      Votes before and after the creation and each wave, and whether the cluster stays quorate from the admission until
      the nodes are up. C(tolerated_failures) is how many nodes may fail, whichever they are.
  returned: always
  type: list
  elements: dict
  sample:
    - nodes:
        - node2
      action: join
      quorate_meanwhile: false
      before:
        online_votes: 1
        expected_votes: 1
        quorum: 1
        tolerated_failures: 0
      after:
        online_votes: 2
        expected_votes: 2
        quorum: 2
        tolerated_failures: 0
notes:
  description:
    - What a person should know though it stops nothing, advice among it.
  returned: always
  type: list
  elements: str
config_version:
  description:
    - C(totem.config_version) of the cluster as it is; 0 without one.
  returned: always
  type: int
  sample: 0
report:
  description:
    - The plan as lines of text.
  returned: always
  type: list
  elements: str
msg:
  description:
    - What was found or done, in a sentence.
  returned: always
  type: str
elapsed:
  description:
    - Seconds the module took on the node.
  returned: always
  type: float
  sample: 0.041
"""
