#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_preflight
short_description: Check a Proxmox VE node before it becomes part of a cluster
version_added: "0.1.0"
description:
  - Runs all checks, also after one has failed, and fails once with every finding and its remedy.
  - A check that could not be made counts as failed, and says so.
  - A node that is in O(cluster_name) already is checked as a member, whatever O(purpose) says.
author:
  - The sddc.pve contributors (@sddc-pve)
requirements:
  - "Runs as root on a Proxmox VE node (C(become: true)); needs no Python there."
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing anything.
    support: full
    details:
      - Reads only, so check mode makes no difference.
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
      - "Name of the cluster: 1 to 15 characters, letters, digits and hyphens, as a node name. It cannot be changed later."
    type: str
    required: true
  nodes:
    description:
      - All nodes of the wanted cluster as the inventory describes them, this one too, also those that are not reached by this play.
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
              - Number of the link. All nodes of a cluster have the same links. corosync uses UDP port 5405 plus this number.
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
              - "C(knet_link_priority), 0 to 255. With C(link_mode: passive), which Proxmox VE writes, the connected link with the B(highest) number carries the traffic (corosync.conf(5)); the API's own description says the opposite. Counts when the cluster is created."
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
          - What M(sddc.pve.pve_cluster_info) returned as RV(sddc.pve.pve_cluster_info#module:info) for it. Not given for a node that could not be reached or is outside of C(--limit).
        type: dict
  node:
    description:
      - This node's name in O(nodes). The host name up to the first dot when not given.
    type: str
  purpose:
    description:
      - What the node is to be. V(join) demands that it has no guests; V(create), for the first node of a cluster, and V(member) do not. V(member) demands neither that corosync is stopped.
    type: str
    default: join
    choices:
      - join
      - create
      - member
  bridges:
    description:
      - Bridges that must be there and up.
    type: list
    elements: str
    default:
      - vmbr0
  ports:
    description:
      - TCP ports that must be reachable on every other node. Connections are made side by side; each may take 3 seconds.
    type: list
    elements: int
    default:
      - 22
      - 8006
  packages:
    description:
      - Packages that must be installed.
    type: list
    elements: str
    default: []
  files:
    description:
      - Files that must have a certain content.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - Path of the file.
        type: str
        required: true
      sha256:
        description:
          - SHA-256 of its content, in hexadecimal.
        type: str
        required: true
  ignore:
    description:
      - Checks whose failure is to be a warning. It stays visible. Checks that guard data (V(not-in-foreign-cluster), V(no-name-clash), V(no-guests)) cannot be ignored.
    type: list
    elements: str
    default: []
  only:
    description:
      - The only checks to run. All when not given.
    type: list
    elements: str
  report_only:
    description:
      - "Never fail and never warn, whatever is found: for a play that looks in order to put things right."
    type: bool
    default: false
  timeout:
    description:
      - Seconds that each program and each connection may take. All checks run side by side, so this is about the limit of the whole. A healthy node takes less than a second.
    type: int
    default: 15
notes:
  - "Checks of the node itself: V(running-as-root), V(pve-installed), V(pve-version-supported) (7 to 9), V(packages-installed) (those of O(packages)), V(files-current) (those of O(files)), V(pmxcfs-running) and V(time-synchronised) (chrony, timesyncd, or another service that tells the kernel)."
  - "Checks of names and network: V(node-name-matches), V(own-name-resolves) (to an address of the node, not to 127.0.1.1), V(names-resolve) (every node's name, to the address of O(nodes)), V(bridge-up), V(links-local) (C(pvecm create) accepts an address that is not local and leaves a cluster that nobody can reach), V(firewall-open) (skipped where the unit sddc-pve-firewall is not installed and the check is not named in O(only)) and V(peer-ports-reachable)."
  - "Checks against the cluster: V(cluster-name-valid), V(inventory-consistent), V(versions-match) (one major version), V(not-in-foreign-cluster), V(no-name-clash), V(no-guests), V(no-remnants) and V(corosync-not-running). They cover what C(PVE::Cluster::Setup::assert_joinable) of pve-cluster looks at, and what it does not."
seealso:
  - module: sddc.pve.pve_cluster_plan
    description: Decides who creates and who joins.
  - module: sddc.pve.pve_cluster_info
    description: The facts that the checks look at.
"""

EXAMPLES = r"""
---
- name: Check all nodes before anything is changed
  sddc.pve.pve_preflight:
    cluster_name: sddc-cluster
    nodes:
      - name: node1
        address: 10.10.1.21
        links: [{number: 0, address: 10.10.1.21}]
      - name: node2
        address: 10.10.1.22
        links: [{number: 0, address: 10.10.1.22}]

- name: A node with another bridge, whose time service is somebody else's concern
  sddc.pve.pve_preflight:
    cluster_name: sddc-cluster
    nodes: "{{ my_nodes }}"
    bridges: [vmbr0, vmbr1]
    ignore: [time-synchronised]

- name: Only look whether packages are missing
  sddc.pve.pve_preflight:
    cluster_name: sddc-cluster
    nodes: "{{ my_nodes }}"
    only: [packages-installed]
    packages: [chrony]
    report_only: true
  register: look
"""

RETURN = r"""
---
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
        - V(passed), V(failed), V(ignored) (failed, and the task said to ignore it), V(could_not_check) (what it looks at could not be read) or V(skipped) (does not apply).
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
    - Whether no check of severity V(error) failed, ignored ones apart.
  returned: always
  type: bool
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
