#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_qdevice
short_description: Set up or remove a quorum device of a Proxmox VE cluster
version_added: "0.1.0"
description:
  - >-
    Gives a cluster with an even number of nodes a further vote by a host outside of it, so that one of two nodes, or
    half of four, can go on alone.
  - >-
    Runs on every member and on the QNetd host, which need not reach each other by ssh: the role
    P(sddc.pve.qdevice#role) plays the parts in their order.
author:
  - The sddc.pve contributors (@sddc-pve)
requirements:
  - "Runs as root (C(become: true)); needs no Python there."
  - On the QNetd host the package corosync-qnetd, on any Debian; on every member the package corosync-qdevice.
  - TCP port 5403 of the QNetd host open to every member.
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing anything.
    support: full
    details:
      - Runs all checks, and shows corosync.conf before and after. Asks for no certificate.
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
      - >-
        V(serving), on the QNetd host: its authority is there, its service runs and answers on port 5403, and it has
        signed O(requests).
      - "V(requested), on a member: it has a certificate for this QNetd host, or else a key and a request of its own."
      - >-
        V(present), on a member: it has its certificate, the device is in corosync.conf, corosync-qdevice runs, and this
        member casts the device's vote.
      - >-
        V(absent), on a member: corosync-qdevice is stopped and its certificates are gone. The last member that does so
        takes the device out of corosync.conf.
      - "V(forgotten), on the QNetd host: nothing is left there of the cluster. It goes on serving others."
    type: str
    default: present
    choices:
      - serving
      - requested
      - present
      - absent
      - forgotten
  host:
    description:
      - IP address at which every member reaches the QNetd host. Needed for V(requested) and V(present).
    type: str
  ca:
    description:
      - >-
        Certificate of the authority of the QNetd host, which V(serving) returns as RV(ca). Without it V(requested)
        makes nothing and only tells what speaks against the device.
    type: str
  certificate:
    description:
      - What the QNetd host signed for this member, one of RV(certificates). Not needed where it has one.
    type: str
  requests:
    description:
      - RV(request) of members by their names, for V(serving). Each is signed for O(cluster_name).
    type: dict
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
      - Seconds for everything. corosync-qdevice alone takes ten to connect.
    type: int
    default: 180
notes:
  - >-
    A member refuses, and nothing has changed then: V(odd-votes), as with a single node; V(nodes-offline); V(no-quorum);
    V(other-device), the cluster has one at another host; V(host-is-member); V(qnetd-unreachable); V(not-installed).
    None can be ignored.
  - >-
    V(absent) refuses: V(quorum-forecast), what is online has no quorum without the device; V(ha-active), high
    availability is active on this member.
  - >-
    Every member has a key of its own, so no private key travels. C(pvecm qdevice setup) copies one to all members by
    ssh; what it set up is taken as it is, and can be removed by this module.
  - The device has one vote and the algorithm C(ffsplit), as C(pvecm) writes it for an even number of nodes.
  - "While a device is configured, nodes neither join nor leave: remove it before, and set it up again."
seealso:
  - module: sddc.pve.pve_cluster_validate
    description: Tells when the vote of the device is missing.
  - name: Corosync External Vote Support
    link: https://pve.proxmox.com/pve-docs/pve-admin-guide.html#_corosync_external_vote_support
    description: What a quorum device is good for.
"""

EXAMPLES = r"""
---
# The role sddc.pve.qdevice plays these in their order.
- name: Have the QNetd host serve (there, or with delegate_to)
  sddc.pve.pve_qdevice:
    state: serving
    cluster_name: sddc-cluster
  register: qnetd

- name: Ask for a certificate on a member
  sddc.pve.pve_qdevice:
    state: requested
    cluster_name: sddc-cluster
    host: 10.10.1.30
    ca: "{{ qnetd.ca }}"
  register: member

- name: Have the QNetd host sign what a member asks for
  sddc.pve.pve_qdevice:
    state: serving
    cluster_name: sddc-cluster
    requests:
      node1: "{{ member.request | default('') }}"
  register: signed

- name: Add the device on a member, and wait for its vote
  sddc.pve.pve_qdevice:
    cluster_name: sddc-cluster
    host: 10.10.1.30
    ca: "{{ qnetd.ca }}"
    certificate: "{{ signed.certificates.node1 | default(omit) }}"

- name: Remove the device, on every member
  sddc.pve.pve_qdevice:
    state: absent
    cluster_name: sddc-cluster
"""

RETURN = r"""
---
msg:
  description:
    - What was found or done, in a sentence.
  returned: always
  type: str
ca:
  description:
    - Certificate of the QNetd host's authority, PEM.
  returned: with O(state=serving); not in check mode on a host that has none yet
  type: str
request:
  description:
    - What the QNetd host is to sign. Its key never leaves this member.
  returned: with O(state=requested), where this member has no certificate
  type: str
certificates:
  description:
    - What was signed, by the names of O(requests).
  returned: with O(state=serving)
  type: dict
done:
  description:
    - What was done, or would be.
  returned: always
  type: list
  elements: str
  sample:
    - device at 10.10.1.30 in corosync.conf
    - corosync-qdevice enabled and started
faults:
  description:
    - What speaks against it, each with its id.
  returned: when refused
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
