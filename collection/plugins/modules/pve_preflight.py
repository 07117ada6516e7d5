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
      - >-
        Name of the cluster: 1 to 15 characters, letters, digits and hyphens, as a node name. It cannot be changed
        later.
    type: str
    required: true
  nodes:
    description:
      - >-
        All nodes of the wanted cluster as the inventory describes them, this one too, also those that are not reached
        by this play.
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
  node:
    description:
      - This node's name in O(nodes). The host name up to the first dot when not given.
    type: str
  purpose:
    description:
      - >-
        What the node is to be. V(join) demands that it has no guests; V(create), for the first node of a cluster, and
        V(member) do not. V(member) demands neither that corosync is stopped.
    type: str
    default: join
    choices:
      - join
      - create
      - member
  method:
    description:
      - >-
        The method by which nodes are to join, as O(sddc.pve.pve_cluster_join#module:method) or the role has it: some
        settings matter to some methods only.
    type: str
  bridges:
    description:
      - Bridges that must be there and up.
    type: list
    elements: str
    default:
      - vmbr0
  ports:
    description:
      - >-
        TCP ports that must be reachable on every other node. Connections are made side by side; each may take 3
        seconds.
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
      - >-
        Checks whose failure is to be a warning. It stays visible. Checks that guard data (V(not-in-foreign-cluster),
        V(no-name-clash), V(no-guests)) cannot be ignored.
    type: list
    elements: str
    default: []
  skip:
    description:
      - Checks that are not to be made at all. Those that guard data are made all the same.
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
      - >-
        Seconds that each program and each connection may take. All checks run side by side, so this is about the limit
        of the whole. A healthy node takes less than a second.
    type: int
    default: 15
notes:
  - >-
    The checks cover what C(PVE::Cluster::Setup::assert_joinable) of pve-cluster looks at, and what it does not. Some
    compare this node with others, by the facts in O(nodes[].info): those that are not known are left out.
  - Check V(running-as-root) (error). The module runs as root.
  - Check V(pve-installed) (error). Proxmox VE is installed.
  - Check V(pve-version-supported) (error). Its version is 7, 8 or 9.
  - Check V(packages-installed) (error). The packages that O(packages) asks for are installed.
  - Check V(files-current) (error). The files that O(files) asks for have the wanted content.
  - Check V(pmxcfs-running) (error). The cluster file system is mounted on C(/etc/pve).
  - Check V(disks-writable) (error). No file system that Proxmox VE writes to is mounted read-only.
  - Check V(disk-space) (error). There are 100 MiB left for the database and the logs; less than 1 GiB is a warning.
  - >-
    Check V(no-pending-upgrade) (error). All packages are configured; repositories of a newer Debian than the node's are
    a warning.
  - Check V(repositories) (info). A package repository of Proxmox VE is in use.
  - Check V(subscription) (info). The node has a subscription where its repositories need one.
  - >-
    Check V(time-synchronised) (error). The clock follows a reference, by chrony, timesyncd or another service that
    tells the kernel.
  - Check V(time-source-reachable) (warning). chrony follows a source that answers.
  - >-
    Check V(clock-agrees) (error). The clock is less than 300 seconds, the grace of tickets, from those of other nodes'
    APIs; what is certainly 1 second and more is a warning (their dates have whole seconds).
  - Check V(cluster-name-valid) (error). The cluster's name is one that Proxmox VE takes.
  - >-
    Check V(inventory-consistent) (error). Names, node ids and addresses of the nodes are unique, and all have the same
    links.
  - Check V(node-name-matches) (error). The node's host name is the name the inventory has for it.
  - Check V(hostname-kept) (error). The host name is still the same after a boot.
  - >-
    Check V(local-directory-own) (error). C(/etc/pve/local) is the directory of this node's name, not of one it had
    before.
  - Check V(machine-id-unique) (error). No other node has the same C(/etc/machine-id), as copies of one disk have.
  - Check V(addresses-unique) (error). No other node has this node's name or one of its addresses.
  - >-
    Check V(own-name-resolves) (error). The node's own name resolves to an address of its own that is no loopback
    address (127.0.1.1).
  - Check V(names-resolve) (error). On this node every node's name resolves to the address the inventory says.
  - Check V(known-hosts-agree) (warning). No file of known hosts has another ssh host key of a node than the one it has.
  - >-
    Check V(sshd-lets-root-in) (error). sshd lets root in with a key; a warning where the method of joining does not
    need it.
  - Check V(bridge-up) (error). The bridges are there and up.
  - >-
    Check V(links-local) (error). The addresses of the node's links are addresses of its interfaces: C(pvecm create)
    takes others, and leaves a cluster that nobody can reach.
  - Check V(link-interfaces) (error). The interfaces of the links are up; two links on one interface are a warning.
  - Check V(link-addresses) (warning). Each link has one address on this node, on one interface.
  - Check V(link-networks) (warning). On each link all nodes are in one network, and each link has a network of its own.
  - Check V(link-mtu) (warning). All nodes have the same MTU on a link.
  - Check V(bonds-suit) (warning). Bonds below links have a mode that corosync gets on with, and LACP the fast rate.
  - Check V(corosync-ports-free) (error). No other program has the UDP ports of the links.
  - >-
    Check V(firewall-open) (error). The rules of sddc.pve.node_prepare that open the cluster's ports are in force and
    come back after a boot; skipped where they are not installed and O(only) does not name the check.
  - >-
    Check V(packet-filter-open) (error). nftables and iptables of this node let in ssh, the API and each link's UDP port
    from the other nodes; SPICE, rpcbind, consoles and migration are a warning.
  - >-
    Check V(pve-firewall-open) (error). pve-firewall, if it is on, opens the UDP port of each link: its own rule opens
    those of link 0 only.
  - Check V(peer-ports-reachable) (error). The TCP ports are reachable on every other node.
  - Check V(versions-match) (error). All nodes have the same major version of Proxmox VE.
  - >-
    Check V(package-versions-match) (warning). All nodes have the same versions of pve-manager, pve-cluster and
    corosync.
  - >-
    Check V(certificate-valid) (error). The node's certificate has its name, is of its key and of the authority in
    C(/etc/pve), and has not ended; less than 30 days are a warning.
  - Check V(authkey-fits) (error). corosync's key on a member has a size that corosync takes.
  - "Check V(no-qdevice) (error). The cluster has no quorum device: nobody can join beside one."
  - Check V(ha-quiet) (warning). High availability is not active on who admits others, and not set up on who joins.
  - Check V(no-replication) (warning). A node that joins has no replication jobs, which joining would replace.
  - >-
    Check V(root-without-second-factor) (error). root@pam of who lets others in has no second factor where O(method)
    gives a password.
  - Check V(not-in-foreign-cluster) (error, guards data). The node is in no other cluster than the wanted one.
  - >-
    Check V(no-name-clash) (error, guards data). No member of the cluster has this node's name or one of its addresses
    and is another machine.
  - >-
    Check V(no-guests) (error, guards data). A node that joins has no guests: joining replaces its C(/etc/pve), and with
    it their configuration.
  - Check V(no-remnants) (error). Nothing is left of an earlier cluster or of a join that did not end.
  - Check V(corosync-not-running) (error). corosync does not run on a node that is in no cluster.
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
