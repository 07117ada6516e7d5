#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_cluster_info
short_description: Facts of a Proxmox VE node and its cluster
version_added: "0.1.0"
description:
  - >-
    Tells what a node is (not installed, standalone, with traces of an earlier cluster, member, member without quorum)
    and what its cluster looks like from it: nodes, votes, links, certificates, host keys, guests, high availability and
    services.
  - Takes about 50 milliseconds.
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
  link_latency:
    description:
      - Also tell the round trip of each link, as corosync measures it all the time. Costs one more small program.
    type: bool
    default: false
  timeout:
    description:
      - >-
        Seconds that each of the small programs asked may take. A healthy node answers in a few hundredths of a second;
        a program that runs into the limit is named in a warning and in C(info.problems), and the rest is returned all
        the same.
    type: int
    default: 10
notes:
  - >-
    Takes neither C(pvesh) nor C(pvecm), which cost a second or two each. Sources are C(/etc/pve/corosync.conf),
    C(/etc/pve/.members) and C(/etc/pve/.vmlist) (written by C(src/pmxcfs/status.c) of pve-cluster), C(/etc/corosync),
    certificates, C(corosync-quorumtool -s), C(corosync-cfgtool -s), C(corosync-cmapctl runtime.members), C(systemctl
    show), C(ip -json address), C(getent) and dpkg's status file.
  - Never fails on a healthy node, whether it is in a cluster or not.
  - No secret is read.
seealso:
  - module: sddc.pve.pve_cluster_plan
    description: Takes what this module returns from every node.
  - module: sddc.pve.pve_cluster_validate
    description: Judges a cluster instead of telling about it.
"""

EXAMPLES = r"""
---
- name: Look at a node
  sddc.pve.pve_cluster_info:
  register: node

- name: Stop unless the node is a member with quorum
  ansible.builtin.assert:
    that: node.info.state == 'member'
    fail_msg: "{{ node.msg }}"

- name: Show who is online
  ansible.builtin.debug:
    msg: "{{ node.info.cluster.nodes | selectattr('online') | map(attribute='name') | list }}"
  when: node.info.cluster is not none

- name: Look at the links, with their round trips
  sddc.pve.pve_cluster_info:
    link_latency: true
  register: node
"""

RETURN = r"""
---
info:
  description:
    - All facts. A key is always there; what is not known is C(null).
  returned: always
  type: dict
  contains:
    node:
      description:
        - "Node name: the host name up to the first dot, as Proxmox VE takes it."
      returned: always
      type: str
      sample: pve1
    hostname:
      description:
        - Host name as the kernel has it.
      returned: always
      type: str
      sample: pve1
    machine_id:
      description:
        - Content of C(/etc/machine-id).
      returned: always
      type: str
    version:
      description:
        - Installed versions; C(null) without Proxmox VE.
      returned: always
      type: dict
      contains:
        manager:
          description:
            - pve-manager.
          returned: always
          type: str
          sample: "9.1.10"
        major:
          description:
            - Its first number.
          returned: always
          type: int
          sample: 9
        pve_cluster:
          description:
            - pve-cluster.
          returned: always
          type: str
          sample: "9.1.6"
        corosync:
          description:
            - corosync.
          returned: always
          type: str
          sample: "3.1.10-pve3"
    state:
      description:
        - >-
          V(not_installed), V(standalone), V(remnants) (in no cluster, but with traces of one), V(member) (quorate, and
          pmxcfs says so too) or V(no_quorum) (in a cluster, but without quorum, or with corosync or pmxcfs down).
      returned: always
      type: str
      sample: member
    addresses:
      description:
        - Addresses of all interfaces, loopback apart.
      returned: always
      type: list
      elements: dict
      sample:
        - interface: vmbr0
          address: "10.10.1.21"
          prefix: 24
    name_addresses:
      description:
        - What the node's own name resolves to, on the node.
      returned: always
      type: list
      elements: str
      sample:
        - "10.10.1.21"
    cluster:
      description:
        - The cluster's configuration; C(null) on a node in no cluster.
      returned: always
      type: dict
      contains:
        name:
          description:
            - Cluster name.
          returned: always
          type: str
          sample: sddc-cluster
        config_version:
          description:
            - C(totem.config_version) of corosync.conf.
          returned: always
          type: int
          sample: 3
        digest:
          description:
            - SHA-256 of corosync.conf as Proxmox VE writes it.
          returned: always
          type: str
        nodes:
          description:
            - Nodes, by node id.
          returned: always
          type: list
          elements: dict
          contains:
            name:
              description:
                - Node name.
              returned: always
              type: str
            nodeid:
              description:
                - corosync's node id. There may be gaps.
              returned: always
              type: int
            votes:
              description:
                - Its votes.
              returned: always
              type: int
            links:
              description:
                - Its address on each link.
              returned: always
              type: dict
              sample:
                "0": "10.10.1.21"
            online:
              description:
                - Whether corosync has it in the membership; C(null) when corosync does not answer.
              returned: always
              type: bool
            config_version:
              description:
                - The config version that its corosync runs with; C(null) where it is not in the membership.
              returned: always
              type: int
        qdevice:
          description:
            - Whether a quorum device is configured.
          returned: always
          type: bool
        qdevice_host:
          description:
            - The QNetd host that it asks; C(null) without one.
          returned: always
          type: str
        qdevice_votes:
          description:
            - >-
              Votes that it casts for this node's part of the cluster, as corosync has it; C(null) where it tells of
              none.
          returned: always
          type: int
        text:
          description:
            - corosync.conf itself. It holds no secret.
          returned: always
          type: str
    quorum:
      description:
        - Votes; C(null) when corosync does not answer.
      returned: always
      type: dict
      sample:
        quorate: true
        expected_votes: 3
        total_votes: 3
        quorum: 2
        members:
          - 1
          - 2
          - 3
    links:
      description:
        - >-
          corosync's links as this node sees them. C(latency) is the round trip in microseconds; C(null) without
          O(link_latency), and of a link that is not up.
      returned: always
      type: list
      elements: dict
      sample:
        - number: 0
          address: "10.10.1.21"
          peers:
            - nodeid: 2
              connected: true
              status: connected
              latency: 412
    pmxcfs:
      description:
        - "The cluster file system: whether it is mounted, what it says of quorum, and the nodes on which it is online."
      returned: always
      type: dict
      sample:
        mounted: true
        quorate: true
        online:
          - pve1
          - pve2
    fingerprint:
      description:
        - "SHA-256 fingerprint of the certificate that the API serves: C(pveproxy-ssl.pem), else C(pve-ssl.pem)."
      returned: always
      type: str
    ca_fingerprint:
      description:
        - SHA-256 fingerprint of C(/etc/pve/pve-root-ca.pem). Members of one cluster have the same.
      returned: always
      type: str
    certificates:
      description:
        - >-
          This node's certificates, and that of the cluster's authority: C(pveproxy-ssl.pem), which the API serves where
          it is there, C(pve-ssl.pem), C(pve-root-ca.pem); each with its fingerprint and the time when it ends, in UTC.
      returned: always
      type: list
      elements: dict
      sample:
        - file: pve-ssl.pem
          fingerprint: "9A:0B:…"
          ends: "2028-11-22T15:00:00Z"
    host_keys:
      description:
        - Public ssh host keys with their fingerprints.
      returned: always
      type: list
      elements: dict
      sample:
        - algorithm: ssh-ed25519
          key: "AAAAC3…"
          fingerprint: "SHA256:lWpe…"
    guests:
      description:
        - Guests of this node.
      returned: always
      type: list
      elements: dict
      sample:
        - vmid: 100
          kind: qemu
    ha:
      description:
        - >-
          High availability: C(active) says whether losing quorum would fence this node (its LRM is active, or
          watchdog-mux has a client); C(resources) are those configured in the cluster.
      returned: always
      type: dict
      sample:
        active: false
        resources: []
    services:
      description:
        - State of the units of Proxmox VE, corosync, ssh and time. C(enabled) is empty where the unit is not installed.
      returned: always
      type: dict
      sample:
        corosync:
          active: active
          enabled: enabled
    remnants:
      description:
        - >-
          Traces of an earlier cluster or of a join that did not end: V(corosync-conf), V(authkey),
          V(pmxcfs-corosync-conf), V(foreign-nodes), V(not-listed), V(unfinished-operation).
      returned: always
      type: list
      elements: dict
      sample:
        - id: authkey
          path: "/etc/corosync/authkey"
          detail: the key of a cluster this node is not in
    operation:
      description:
        - >-
          An operation of this collection that has not ended: it goes on, or its process was killed. C(null) otherwise.
      returned: always
      type: dict
      sample:
        id: "1795359600-123-join-7"
        kind: join
        target: pve2 into "sddc-cluster"
    problems:
      description:
        - What could not be read, with the reason; empty on a healthy node.
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
