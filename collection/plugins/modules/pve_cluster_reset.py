#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_cluster_reset
short_description: Separate a Proxmox VE node from its cluster
version_added: "0.1.0"
description:
  - >-
    Takes this node out of its cluster and leaves it as one that can create or join a cluster at once, under the same
    name and address.
  - A node that is in no cluster and has no traces of one is left as it is.
author:
  - The sddc.pve contributors (@sddc-pve)
requirements:
  - "Runs as root on a Proxmox VE node (C(become: true)); needs no Python there."
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing anything.
    support: full
    details:
      - Runs all checks, and shows the configuration that would be removed.
  diff_mode:
    description: Returns what changed, or would change in check mode, when run in diff mode.
    support: full
  platform:
    description: The systems the module runs on.
    support: full
    platforms: debian
options:
  confirm:
    description:
      - Name of the cluster that this node is to leave. Anything else is refused.
    type: str
    required: true
  scope:
    description:
      - "V(node) refuses while other members are online: they would go on counting the vote of this node."
      - >-
        V(leaving) says that a member takes this node off the list right after, with M(sddc.pve.pve_cluster_member). It
        refuses where the others would be without quorum meanwhile.
      - V(cluster) says that every member is reset, and asks nothing of the others.
    type: str
    default: node
    choices:
      - node
      - leaving
      - cluster
  guests:
    description:
      - IDs of the guests that may be on this node. They stay and run on; other guests make the module refuse.
    type: list
    elements: int
    default: []
  timeout:
    description:
      - Seconds for the whole operation. What is done by then stays done; a rerun goes on.
    type: int
    default: 180
notes:
  - >-
    Does what pvecm(1) describes as separating a node without reinstalling, and removes what that leaves behind: the
    certificate authority and keys of the cluster, files, ssh keys and host keys of the other nodes.
  - Guests, storages, users and C(datacenter.cfg) stay. A custom certificate (C(pveproxy-ssl.pem)) stays.
  - >-
    Runs as a transient systemd unit with a journal in C(/var/lib/sddc-pve/operations). Nothing of it is undone: one
    that was cut off is taken up by the next run.
  - Refuses while high availability is active, since losing quorum would fence the node.
seealso:
  - module: sddc.pve.pve_cluster_member
    description: Takes a node off the list of its cluster.
  - module: sddc.pve.pve_cluster_join
    description: Makes the node a member again.
  - name: pvecm(1)
    link: https://pve.proxmox.com/pve-docs/pvecm.1.html
    description: Separate a node without reinstalling.
"""

EXAMPLES = r"""
---
- name: Take the whole cluster apart
  sddc.pve.pve_cluster_reset:
    confirm: sddc-cluster
    scope: cluster

- name: Clean a node that was removed from its cluster while it was off
  sddc.pve.pve_cluster_reset:
    confirm: sddc-cluster
"""

RETURN = r"""
---
msg:
  description:
    - What was found or done, in a sentence.
  returned: always
  type: str
node:
  description:
    - Name of this node.
  returned: always
  type: str
cluster:
  description:
    - Name of the cluster that it left.
  returned: when it left one
  type: str
copy:
  description:
    - >-
      Path on this node of a copy of /etc/pve from before, for root only. It holds the cluster's keys. The newest ten
      copies stay.
  returned: when it left a cluster
  type: str
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
