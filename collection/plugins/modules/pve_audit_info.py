#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_audit_info
short_description: Read and verify the audit trail of a Proxmox VE node
version_added: "0.1.0"
description:
  - >-
    Returns who did what to the cluster on this node, from C(/var/log/pve-cluster-audit.jsonl) and what logrotate moved
    away, and tells whether anything in it was changed.
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
  count:
    description:
      - How many of the newest entries to return, 1 to 1024.
    type: int
    default: 50
notes:
  - >-
    Each line carries the SHA-256 hash of the line before it, over rotation by logrotate too, and the journal has a copy
    of each line. So a line that was changed or removed is found, and lines that were cut off the end are, as long as
    the journal remembers. Who is root on the node and rewrites both is not found: send the journal to another machine
    where that matters.
  - C(pve audit verify) does the same at a shell.
seealso:
  - module: sddc.pve.pve_cluster_join
    description: Writes to the trail, as every operation does.
"""

EXAMPLES = r"""
---
- name: Verify the audit trail
  sddc.pve.pve_audit_info:
  register: audit
  failed_when: not audit.ok
"""

RETURN = r"""
---
msg:
  description:
    - What was found or done, in a sentence.
  returned: always
  type: str
ok:
  description:
    - Every line is as it was written, follows the one before it, and none is missing.
  returned: always
  type: bool
lines:
  description:
    - Number of lines in all files.
  returned: always
  type: int
is_complete:
  description:
    - The first operation ever is in it; else older lines were rotated out.
  returned: always
  type: bool
findings:
  description:
    - What is wrong, each with file and line.
  returned: always
  type: list
  elements: str
files:
  description:
    - Files of the trail, the oldest first.
  returned: always
  type: list
  elements: str
entries:
  description:
    - The newest entries, the oldest of them first.
  returned: always
  type: list
  elements: dict
  contains:
    time:
      description:
        - When it ended, in UTC.
      returned: always
      type: str
    node:
      description:
        - Node that it ran on.
      returned: always
      type: str
    cluster:
      description:
        - Cluster name.
      returned: always
      type: str
    operation:
      description:
        - What was done, such as V(join) or V(issue_token).
      returned: always
      type: str
    method:
      description:
        - How, such as V(brokered).
      returned: always
      type: str
    credential:
      description:
        - Id of the credential that was used.
      returned: always
      type: str
    subjects:
      description:
        - Nodes that it was about.
      returned: always
      type: list
      elements: str
    who:
      description:
        - User, sudo user and address of the controller.
      returned: always
      type: dict
    result:
      description:
        - V(succeeded), V(failed) or V(rolled_back).
      returned: always
      type: str
    duration:
      description:
        - Seconds.
      returned: always
      type: float
    id:
      description:
        - Id of the operation's journal.
      returned: always
      type: str
    previous:
      description:
        - Hash of the line before it.
      returned: always
      type: str
elapsed:
  description:
    - Seconds the module took on the node.
  returned: always
  type: float
  sample: 0.041
"""
