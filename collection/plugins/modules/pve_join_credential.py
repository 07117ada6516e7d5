#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_join_credential
short_description: Issue, revoke and prune credentials for joining a Proxmox VE cluster
version_added: "0.1.0"
description:
  - >-
    Runs on a quorate member. Issues a credential with which a node joins the cluster, and which ends by itself, also
    when the controller dies.
  - Revokes tokens, and removes what is left of those that expired.
author:
  - The sddc.pve contributors (@sddc-pve)
requirements:
  - "Runs as root on a Proxmox VE node (C(become: true)); needs no Python there."
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing anything.
    support: full
    details:
      - Says what would be issued or revoked. No credential is returned.
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
  type:
    description:
      - >-
        V(token) is an ssh key that can do nothing but ask for the admission of one node, once. sshd of every member
        enforces its expiry and its one command.
      - >-
        V(ssh_key) is an ssh key that can do what C(pvecm add --use_ssh) of O(node) asks of a member, and nothing else.
        Revoke it with O(state=absent) when the join is over.
      - >-
        V(ticket) is a login of C(root@pam) that root of a member makes without a password. Proxmox VE ends it after two
        hours; nothing can end it earlier, so it is only handed over sealed.
      - >-
        V(temporary_password) gives root of this member a random password. The entry from before comes back with
        O(state=absent), when O(ttl) is over, and at the next boot, each by itself; unless somebody else has changed the
        password meanwhile, which stays. Refused where root has a second factor.
    type: str
    required: true
    choices:
      - token
      - ssh_key
      - ticket
      - temporary_password
  state:
    description:
      - V(present) issues a new credential, every time.
      - V(absent) revokes the token or key O(id), or ends the temporary password.
      - V(pruned) removes what is left of credentials that expired.
    type: str
    default: present
    choices:
      - present
      - absent
      - pruned
  node:
    description:
      - Name of the only node that may use it. Needed where O(public_key) is given.
    type: str
  public_key:
    description:
      - >-
        Public key from RV(sddc.pve.pve_cluster_join#module:join_request) of that node. The credential is then returned
        sealed to it, as RV(credential). Needed for O(type=ssh_key), O(type=ticket) and O(type=temporary_password).
    type: str
  ttl:
    description:
      - >-
        Seconds that it is good for: 60 to 604800, which is 7 days, for a token, and 60 to 3600 for a temporary password
        or an ssh key. A day for a token and 900 for a password or a key when not given.
    type: int
  id:
    description:
      - >-
        Id of the token or key to revoke. For O(type=temporary_password) O(state=absent) ends only the one of this id,
        and whichever is in place when none is given.
    type: str
  from:
    description:
      - IP addresses from which sshd takes the key of a token or an ssh key. Any when none is given.
    type: list
    elements: str
    default: []
  replaces:
    description:
      - >-
        Ids of tokens to revoke once the new one is issued: this is how a token is rotated. None is issued when one of
        them is not known. Where it is one, the new token is for the same node, from the same addresses and for as many
        seconds, unless O(node), O(from) or O(ttl) says otherwise. Where it can't be revoked the new one is taken back.
    type: list
    elements: str
    default: []
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
notes:
  - >-
    A token is registered in C(/etc/pve/priv/sddc-pve), which pmxcfs shows to root of every member, without its secret.
    Exactly one of any number of simultaneous uses wins. Until it expires, the node that used it, and only that one,
    gets the same join material again, so that a lost answer strands nobody.
  - >-
    A temporary password is set with the system's lock of passwords held, changes nothing but the hash in
    C(/etc/shadow), and is not stacked. What it replaces is kept in C(/var/lib/sddc-pve/temporary-password.json), which
    only root reads, until it is back.
  - >-
    A token whose issue was cut off is nobody's. The next run of this module on that member takes it back, with a
    warning and C(changed=true).
  - Tokens need OpenSSH 9.1 or newer on the members (Proxmox VE 8 and 9) and C(PermitRootLogin) other than V(no).
  - Each credential that is issued, used or revoked has a line in C(/var/log/pve-cluster-audit.jsonl).
seealso:
  - module: sddc.pve.pve_join_credential_info
    description: Lists credentials, without secrets.
  - module: sddc.pve.pve_cluster_join
    description: Takes the credential.
"""

EXAMPLES = r"""
---
- name: Issue a token that is good for one hour and for one node
  sddc.pve.pve_join_credential:
    cluster_name: sddc-cluster
    type: token
    node: node4
    ttl: 3600
  no_log: true
  register: token

- name: Issue a ticket for a node, sealed to its key
  sddc.pve.pve_join_credential:
    cluster_name: sddc-cluster
    type: ticket
    node: node2
    public_key: "{{ request.join_request.public_key }}"
  register: ticket

- name: Revoke a token
  sddc.pve.pve_join_credential:
    cluster_name: sddc-cluster
    type: token
    state: absent
    id: k3x9mqp2ab

- name: Remove what is left of expired tokens
  sddc.pve.pve_join_credential:
    cluster_name: sddc-cluster
    type: token
    state: pruned
"""

RETURN = r"""
---
msg:
  description:
    - What was found or done, in a sentence.
  returned: always
  type: str
id:
  description:
    - Name of the credential in records. It is no secret.
  returned: when one was issued
  type: str
  sample: k3x9mqp2ab
expires:
  description:
    - When it ends, in UTC.
  returned: when one was issued
  type: str
  sample: "2026-11-23T15:00:00Z"
credential:
  description:
    - >-
      The credential, sealed to O(public_key): of use to that node only, as
      O(sddc.pve.pve_cluster_join#module:credential).
  returned: with O(public_key), not in check mode
  type: str
join_string:
  description:
    - >-
      The whole token: its secret, the members' addresses and host keys, cluster name and expiry. B(A secret:) use
      C(no_log: true) on the task.
  returned: for O(type=token) without O(public_key), not in check mode
  type: str
revoked:
  description:
    - Ids of tokens that were revoked or pruned.
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
