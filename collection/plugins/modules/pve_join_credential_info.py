#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_join_credential_info
short_description: List the credentials for joining a Proxmox VE cluster
version_added: "0.1.0"
description:
  - "Runs on any member. Lists tokens with their state. Shows no secret: none is stored."
author:
  - The sddc.pve contributors (@sddc-pve)
requirements:
  - "Runs as root on a Proxmox VE node (C(become: true)); needs no Python there."
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing anything.
    support: full
  diff_mode:
    description: Returns what changed, or would change in check mode, when run in diff mode.
    support: "none"
  platform:
    description: The systems the module runs on.
    support: full
    platforms: debian
options: {}
notes:
  - "Tickets are stored nowhere, so they can't be listed: the audit trail says which were made."
seealso:
  - module: sddc.pve.pve_join_credential
    description: Issues and revokes them.
"""

EXAMPLES = r"""
---
- name: List the tokens of the cluster
  sddc.pve.pve_join_credential_info:
  register: credentials
"""

RETURN = r"""
---
msg:
  description:
    - What was found or done, in a sentence.
  returned: always
  type: str
tokens:
  description:
    - Every token that is registered or whose key is authorised.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description:
        - Its name.
      returned: always
      type: str
    node:
      description:
        - The only node that may use it; none when any may.
      returned: always
      type: str
    issued:
      description:
        - When it was issued, in UTC.
      returned: always
      type: str
    expires:
      description:
        - When it ends, in UTC.
      returned: always
      type: str
    issued_on:
      description:
        - Member that issued it.
      returned: always
      type: str
    state:
      description:
        - V(unspent), V(spent), V(half_spent) (the member that took it was cut off) or V(expired).
      returned: always
      type: str
    spent_by:
      description:
        - Node that used it.
      returned: always
      type: str
    is_authorised:
      description:
        - sshd of the members knows its key.
      returned: always
      type: bool
temporary_password:
  description:
    - The temporary password of root on this node; none when there is none.
  returned: always
  type: dict
  contains:
    id:
      description:
        - Its name.
      returned: always
      type: str
    expires:
      description:
        - When it ends, in UTC.
      returned: always
      type: str
elapsed:
  description:
    - Seconds the module took on the node.
  returned: always
  type: float
  sample: 0.041
"""
