#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_cluster_validate
short_description: Prove that a Proxmox VE cluster is as it should be
version_added: "0.1.0"
description:
  - Runs on a member and looks until every check passes or O(timeout) is over, and then fails with what it saw last.
  - "Run it on every member, then once with what they returned as C(view): the members must see the same."
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
        Changes nothing in either mode, but for a file of its own below C(/etc/pve/priv/sddc-pve-seen) that the other
        members are to read, and a lock that it takes and gives back. In check mode both are left out.
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
      - >-
        Names of all nodes that the cluster is to have, no more and no fewer. When neither this nor O(count) is given,
        the nodes that the cluster lists.
    type: list
    elements: str
  count:
    description:
      - Number of nodes that the cluster is to have.
    type: int
  links:
    description:
      - Numbers of the links that must be connected to every other node. Those that are configured when not given.
    type: list
    elements: int
  views:
    description:
      - >-
        What this module returned as RV(view) on the members, to be compared. This node's own may be among them. A
        C(null), which a node that is no member returns, counts as no view of it.
    type: list
    elements: raw
  stable_for:
    description:
      - >-
        Seconds for which all checks must go on passing, within O(timeout). Where they pass at the end and not for so
        long, that is a failure too.
    type: int
    default: 0
  timeout:
    description:
      - Seconds after which it gives up. It looks twice a second.
    type: int
    default: 60
notes:
  - >-
    What is compared when O(views) is given: configuration, members, addresses, authority and certificates, the content
    of C(/etc/pve) (without what changes by itself: C(lrm_status), C(manager_status), C(crm_commands), locks, pmxcfs's
    own dot files), and that what each member wrote is read here.
  - "What C(pvecm add) exits with says nothing: it exits with 0 when the join failed. This module looks."
  - Check V(in-cluster) (error). The node is in the cluster of that name.
  - Check V(quorate) (error). corosync and pmxcfs both have quorum.
  - >-
    Check V(qdevice-votes) (error). A quorum device that is configured casts its vote, by this member's corosync-qdevice
    too, which comes back after a boot.
  - >-
    Check V(members-complete) (error). The cluster lists exactly the expected nodes, and all are online for corosync and
    pmxcfs.
  - >-
    Check V(config-current) (error). corosync has the corosync.conf that pmxcfs has, that of every member runs with it,
    and its findings are none.
  - Check V(links-connected) (error). Every link is on an address of this node, and connected to every other node.
  - Check V(pmxcfs-writable) (error). A lock can be made and removed below C(/etc/pve/priv/lock).
  - >-
    Check V(certificates) (error). Every node has its certificate; this node's is of its key and of the cluster's
    authority, has not ended, and is the one that its API shows.
  - Check V(services-enabled) (error). The services of a member run and come back after a boot.
  - Check V(no-remnants) (error). No operation is left without an end, and the node is in its own cluster's list.
  - >-
    Check V(no-former-members) (warning). No files and no authorised keys are left of nodes that the cluster does not
    list.
  - Check V(time-synchronised) (error). The clock follows a reference.
  - >-
    Check V(clocks-agree) (error). The clock is less than 300 seconds from those of other members; what is certainly 1
    second and more is a warning (their APIs' dates have whole seconds).
  - Check V(replicated) (error). What each member wrote below C(/etc/pve) when it was looked at is read on this one.
  - Check V(views-complete) (error). There is a view of every node.
  - >-
    Check V(views-agree) (error). All views show the same: configuration, members, addresses, certificate authority,
    certificates and content of C(/etc/pve).
seealso:
  - module: sddc.pve.pve_cluster_info
    description: Tells instead of judging.
  - module: sddc.pve.pve_preflight
    description: Checks a node before it joins.
"""

EXAMPLES = r"""
---
- name: Wait until each member sees a healthy cluster
  sddc.pve.pve_cluster_validate:
    cluster_name: sddc-cluster
    nodes: [node1, node2, node3, node4]
  register: seen

- name: Compare what the members see
  sddc.pve.pve_cluster_validate:
    cluster_name: sddc-cluster
    nodes: [node1, node2, node3, node4]
    views: "{{ ansible_play_hosts | map('extract', hostvars, ['seen', 'view']) | list }}"
  run_once: true

- name: Check that both links stay up for ten seconds
  sddc.pve.pve_cluster_validate:
    cluster_name: sddc-cluster
    count: 4
    links: [0, 1]
    stable_for: 10
"""

RETURN = r"""
---
view:
  description:
    - What this member sees, for the comparison; C(null) when it is in no cluster of that name.
  returned: always
  type: dict
  contains:
    node:
      description:
        - Who saw it.
      returned: always
      type: str
    cluster:
      description:
        - Cluster name.
      returned: always
      type: str
    config_version:
      description:
        - Config version.
      returned: always
      type: int
    digest:
      description:
        - SHA-256 of corosync.conf.
      returned: always
      type: str
    members:
      description:
        - Nodes in corosync's membership.
      returned: always
      type: list
      elements: str
    rings:
      description:
        - Address of each node on each link.
      returned: always
      type: dict
    ca_fingerprint:
      description:
        - SHA-256 fingerprint of the cluster's certificate authority.
      returned: always
      type: str
    fingerprints:
      description:
        - SHA-256 fingerprint of each node's certificate.
      returned: always
      type: dict
    pve_digest:
      description:
        - SHA-256 over the content of C(/etc/pve).
      returned: always
      type: str
    nonce:
      description:
        - What it wrote for the others to read; C(null) in check mode.
      returned: always
      type: str
checks:
  description:
    - Every check and what it found.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description:
        - Stable name of the check.
      returned: always
      type: str
    severity:
      description:
        - V(error), V(warning) or V(info).
      returned: always
      type: str
    status:
      description:
        - >-
          V(passed), V(failed), V(ignored) (failed, and the task said to ignore it), V(could_not_check) (what it looks
          at could not be read) or V(skipped) (does not apply).
      returned: always
      type: str
    finding:
      description:
        - What was found, in a sentence.
      returned: always
      type: str
    hint:
      description:
        - What to do about it; empty when there is nothing to do.
      returned: always
      type: str
ok:
  description:
    - Whether every check passed.
  returned: always
  type: bool
looks:
  description:
    - How often it looked.
  returned: always
  type: int
  sample: 1
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
"""
