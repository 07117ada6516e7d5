#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_cluster_join
short_description: Make a node a member of a Proxmox VE cluster
version_added: "0.1.0"
description:
  - >-
    Joins this node to an existing cluster and ends when it is quorate, C(/etc/pve) is the cluster's and the API answers
    with a certificate of the cluster's CA; or leaves the node as it was and says why.
  - A node that is a member already is left alone; one whose join died before it had a certificate is completed.
author:
  - The sddc.pve contributors (@sddc-pve)
requirements:
  - "Runs as root on a Proxmox VE node (C(become: true)); needs no Python there."
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing anything.
    support: full
    details:
      - >-
        Runs all checks that only read, including the login and a look at the cluster where a credential is given, which
        is not spent by that. With O(state=requested) the key that is returned is a sample and is kept nowhere.
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
      - V(present) makes this node a member.
      - >-
        V(requested) makes a key for one join and returns its public half. The private half stays on this node, below
        C(/run), readable by root only, and is removed by the join.
    type: str
    default: present
    choices:
      - present
      - requested
  method:
    description:
      - >-
        V(brokered) takes O(material) from M(sddc.pve.pve_cluster_member). Nothing but corosync speaks between the
        nodes, and no password is needed.
      - >-
        V(ticket) takes O(credential), a ticket that root on a member made, and gives it to C(pvecm add) in place of the
        password: also where root has a second factor or no password at all.
      - >-
        V(api) proves root's password to O(peer) under its pinned certificate and then gives it to C(pvecm add) on
        standard input.
      - >-
        V(expect) is V(api) with C(pvecm add) at a terminal of its own: the password is typed where it is asked for, the
        fingerprint that is shown is compared with O(fingerprint) before the yes, and any other question ends the join.
      - >-
        V(token) takes a token of M(sddc.pve.pve_join_credential), in O(token) or sealed in O(credential), asks the
        members that it names over ssh under the host keys that it carries, and goes on as V(brokered). It needs no
        controller: C(pve pve_cluster_join --token-file FILE) does the same.
      - >-
        V(ssh) is C(pvecm add --use_ssh) to O(peer), under O(host_keys) and with a key that serves this one join, in
        O(credential). With another O(ssh_user) than root, that user's sudo rule admits this node, and the join goes on
        as V(brokered).
    type: str
    default: brokered
    choices:
      - brokered
      - ticket
      - api
      - expect
      - token
      - ssh
  links:
    description:
      - >-
        Corosync links of this node, the same numbers as those of the cluster. Link 0 on the address of the node's own
        name when not given.
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
  material:
    description:
      - >-
        RV(sddc.pve.pve_cluster_member#module:join_material) for this node, sealed to its key. Needed by
        O(method=brokered), except in check mode.
    type: str
  peer:
    description:
      - Address or name of a member. Its API answers on port 8006, or its sshd on port 22 for O(method=ssh).
    type: str
  fingerprint:
    description:
      - >-
        SHA-256 fingerprint of the certificate that the API of O(peer) serves, as C(pvenode cert info) and
        RV(sddc.pve.pve_cluster_info#module:info) show it. The password is sent to no other.
    type: str
  password:
    description:
      - >-
        Password of C(root@pam) on O(peer). O(method=api) and O(method=expect) need it or O(credential), except in check
        mode.
    type: str
  credential:
    description:
      - >-
        RV(sddc.pve.pve_join_credential#module:credential), sealed to the key of this node's RV(ignore:join_request).
        Needed by O(method=ticket), and by O(method=ssh) as root, except in check mode. For O(method=api) and
        O(method=expect) it is a temporary password.
    type: str
  token:
    description:
      - >-
        RV(sddc.pve.pve_join_credential#module:join_string). O(method=token) needs it or O(credential), except in check
        mode.
    type: str
  host_keys:
    description:
      - >-
        ssh host keys that O(peer) may show, as C(<algorithm> <base64>): RV(sddc.pve.pve_cluster_info#module:info) has
        them. Another one is refused before anything is sent. Needed by O(method=ssh).
    type: list
    elements: str
  ssh_user:
    description:
      - >-
        Account on O(peer) for O(method=ssh). Any other than root is one that the role P(sddc.pve.cluster_admin#role)
        has made, and needs O(ssh_key).
    type: str
    default: root
  ssh_key:
    description:
      - File on this node with the private key of O(ssh_user), which only root may read.
    type: str
  nodeid:
    description:
      - >-
        corosync's node id of this node, for every O(method) but V(brokered). The lowest free one when not given. A
        taken one is refused.
    type: int
  votes:
    description:
      - Votes of this node, for every O(method) but V(brokered). 1 when not given.
    type: int
  wait_for_api:
    description:
      - >-
        Whether to wait until the API of this node serves its new certificate. Without, the restart is begun and the
        next node may join meanwhile; M(sddc.pve.pve_cluster_validate) sees whether it ended well.
    type: bool
    default: "true"
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
        Seconds for the whole join. When they are over everything is undone, and the end of corosync's log is in the
        error.
    type: int
    default: 180
notes:
  - >-
    The join is transactional: a snapshot of C(config.db), C(/etc/corosync), C(sshd_config) and C(/root/.ssh) is taken,
    and brought back when anything fails or O(timeout) is over.
  - >-
    Runs as a transient systemd unit with a journal in C(/var/lib/sddc-pve/operations), so a connection that is cut does
    not stop it; a second run attaches to it, and undoes first what a crash has left.
  - >-
    Keys that are authorised for root on this node stay valid throughout, in C(/root/.ssh/authorized_keys2), and never
    enter the cluster's. C(pvecm add) alone loses them.
  - >-
    C(pvecm add) exits 0 on every failure of its worker and waits for quorum without end. Success is what this node
    shows afterwards.
seealso:
  - module: sddc.pve.pve_cluster_member
    description: Admits this node on a member and gives the material.
  - module: sddc.pve.pve_join_credential
    description: Issues tickets, tokens and keys on a member.
  - module: sddc.pve.pve_cluster_validate
    description: Looks at the cluster from every member afterwards.
  - name: pvecm(1)
    link: https://pve.proxmox.com/pve-docs/pvecm.1.html
    description: Proxmox VE's cluster manager.
"""

EXAMPLES = r"""
---
- name: Ask the joining node for a key
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    state: requested
  register: request

- name: Join with the material that a member gave for it
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    links:
      - number: 0
        address: 10.10.1.22
    material: "{{ admission.join_material.node2 }}"

- name: Join with root's password
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    method: api
    peer: 10.10.1.21
    fingerprint: "{{ hostvars['node1'].node.info.fingerprint }}"
    password: "{{ pve_join_password }}"
    links:
      - number: 0
        address: 10.10.1.22

- name: Issue a ticket for the joining node on a member
  sddc.pve.pve_join_credential:
    cluster_name: sddc-cluster
    type: ticket
    node: node2
    public_key: "{{ request.join_request.public_key }}"
  delegate_to: node1
  register: ticket

- name: Join with the ticket
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    method: ticket
    peer: 10.10.1.21
    fingerprint: "{{ hostvars['node1'].node.info.fingerprint }}"
    credential: "{{ ticket.credential }}"

- name: Issue a key for one pvecm add of the joining node, on a member
  sddc.pve.pve_join_credential:
    cluster_name: sddc-cluster
    type: ssh_key
    node: node2
    public_key: "{{ request.join_request.public_key }}"
    from: [10.10.1.22]
    ttl: 300
  delegate_to: node1
  register: key

- name: Join over ssh with the key
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    method: ssh
    peer: 10.10.1.21
    host_keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICLVWHPjk1JdyQdmfQXwktDJzhXLQ30QV4N9U9N7zVoF
    credential: "{{ key.credential }}"

- name: Join with a token
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    method: token
    token: "{{ pve_join_token }}"
"""

RETURN = r"""
---
msg:
  description:
    - What was found or done, in a sentence.
  returned: always
  type: str
join_request:
  description:
    - What a member needs to seal material to this node.
  returned: with O(state=requested)
  type: dict
  contains:
    name:
      description:
        - Node name.
      returned: always
      type: str
    public_key:
      description:
        - X25519 public key, base64.
      returned: always
      type: str
node:
  description:
    - Name of this node.
  returned: with O(state=present)
  type: str
cluster:
  description:
    - Name of the cluster.
  returned: with O(state=present)
  type: str
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
rolled_back:
  description:
    - This node is as it was before.
  returned: on failure of the join
  type: bool
stopped:
  description:
    - >-
      corosync of this node is stopped and has no configuration to start with, so a member may take the node off its
      list.
  returned: on failure of the join
  type: bool
nodes_before:
  description:
    - Number of nodes that the cluster had before the join.
  returned: on failure of the join
  type: int
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
