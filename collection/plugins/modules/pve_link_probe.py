#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pve_link_probe
short_description: Measure corosync's links between nodes before there is a cluster
version_added: "0.1.0"
description:
  - >-
    Finds out before anything is changed whether the nodes reach each other on every link, in both directions, on the
    UDP ports that corosync will use, how long that takes, how much is lost, and how long a packet may be.
  - >-
    With O(state=listening) a node answers for some minutes; with O(state=probed) it measures every link to every other
    node; with O(state=absent) it stops to answer and tells whom it has heard; with O(state=compared) what all nodes
    measured and heard is judged together, which names the direction that is blocked.
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
        No responder is started or stopped. V(probed) asks those that it is told of; told of none it measures nothing,
        and RV(row) is C(null). V(compared) only compares.
  diff_mode:
    description: Returns what changed, or would change in check mode, when run in diff mode.
    support: "none"
  platform:
    description: The systems the module runs on.
    support: full
    platforms: debian
options:
  state:
    description:
      - >-
        V(listening) starts a responder in a systemd unit of its own, C(sddc-pve-link-probe.service), in place of one
        that runs. It ends by itself after O(lifetime).
      - >-
        V(probed) asks the responders of all other nodes at once and returns this node's row. It fails for nothing that
        it finds: a node alone can't tell whose fault it is.
      - V(compared) judges all rows, and fails where a link is not fit for corosync. It runs on one node.
      - V(absent) stops the responder.
    type: str
    required: true
    choices:
      - listening
      - probed
      - compared
      - absent
  node:
    description:
      - This node's name. The host name up to the first dot when not given.
    type: str
  links:
    description:
      - Addresses of this node, one a link, for O(state=listening).
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
  key:
    description:
      - >-
        What proves to a responder that it is asked by one of the nodes: 32 random characters or more, made anew for
        each run, the same on all nodes. Who has it not gets no answer. The responder takes it from a file that only
        root reads and removes that before its first answer.
    type: str
  lifetime:
    description:
      - >-
        Seconds after which the responder ends by itself, 10 to 3600. It must outlast the measuring on all nodes, which
        with few C(forks) is one after the other.
    type: int
    default: 300
  listeners:
    description:
      - For O(state=probed) what O(state=listening) returned as RV(listener) on all nodes, this one too.
      - >-
        For O(state=compared) what O(state=absent) returned as RV(listener) on all nodes. Without it no direction can be
        told from the other. C(null) counts as nothing.
    type: list
    elements: raw
  count:
    description:
      - "Questions to each node on each link, one every 10 milliseconds: as fine as the loss is told. 1 to 1024."
    type: int
    default: 20
  rows:
    description:
      - What O(state=probed) returned as RV(row) on all nodes, for O(state=compared). C(null) counts as nothing.
    type: list
    elements: raw
  latency_limit:
    description:
      - >-
        Milliseconds. A link whose fastest round trip takes so long is refused; one whose median does, or takes 5 or
        more, is worth a warning: a busy machine answers late on the best of networks.
    type: int
    default: 10
  loss_limit:
    description:
      - Percent. A direction that loses as much is refused, one that loses anything is worth a warning.
    type: int
    default: 10
  ignore:
    description:
      - >-
        Checks of O(state=compared) whose failure is to be a warning: V(links-pass), V(link-answers), V(link-latency),
        V(link-jitter), V(link-loss), V(path-mtu). It stays visible.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds after which it gives up. Measuring takes a third of one, and some more where links are bad.
    type: int
    default: 30
notes:
  - >-
    The responder binds to the addresses of the links only and shares no port: where corosync runs, or another program
    has its port, it listens on 5412 less the number of the link, and says so. A running corosync is left alone;
    RV(row.corosync) is what that one says of its links.
  - Every datagram carries an HMAC-SHA256, each question is answered once, and no answer is longer than its question.
  - Creating or joining a cluster stops a responder that still runs, since corosync needs its ports.
  - >-
    A packet that is too long for the network is found by packets that may not be cut in pieces, so a firewall that
    drops ICMP hides nothing.
  - >-
    Check V(links-pass) (error). What each node sends arrives at corosync's port of every other, on every link; where a
    running corosync has that port, a blocked one beside it is a warning.
  - Check V(link-answers) (warning). Who is heard gets its answers.
  - >-
    Check V(link-latency) (error). The shortest round trip of each pair of nodes is below O(latency_limit); a median of
    5 ms and more is a warning.
  - Check V(link-jitter) (warning). Round trips of a pair differ by less than 5 ms from one to the next.
  - >-
    Check V(link-loss) (error). Less than O(loss_limit) percent of what is sent is lost, in each direction; any loss is
    a warning.
  - Check V(path-mtu) (error). Packets as long as the interfaces send pass.
seealso:
  - module: sddc.pve.pve_preflight
    description: The checks that need no other node's help.
  - module: sddc.pve.pve_cluster_validate
    description: Looks at the links once corosync runs.
"""

EXAMPLES = r"""
---
- name: Make a key for this run
  ansible.builtin.set_fact:
    probe_key: "{{ lookup('ansible.builtin.password', '/dev/null', length=43, chars=['ascii_letters', 'digits']) }}"
  run_once: true
  no_log: true

- name: Listen on both links
  sddc.pve.pve_link_probe:
    state: listening
    links:
      - number: 0
        address: "{{ pve_link0 }}"
      - number: 1
        address: "{{ pve_link1 }}"
    key: "{{ probe_key }}"
  register: listening

- name: Measure the links to all other nodes
  sddc.pve.pve_link_probe:
    state: probed
    listeners: "{{ ansible_play_hosts | map('extract', hostvars, ['listening', 'listener']) | list }}"
    key: "{{ probe_key }}"
  register: probed

- name: Stop listening
  sddc.pve.pve_link_probe:
    state: absent
  register: heard

- name: Refuse what is not fit for corosync
  sddc.pve.pve_link_probe:
    state: compared
    rows: "{{ ansible_play_hosts | map('extract', hostvars, ['probed', 'row']) | list }}"
    listeners: "{{ ansible_play_hosts | map('extract', hostvars, ['heard', 'listener']) | list }}"
  run_once: true
  register: mesh

- name: Show the table
  ansible.builtin.debug:
    var: mesh.report
  run_once: true
"""

RETURN = r"""
---
listener:
  description:
    - Where this node listens; with V(absent), where it did and whom it has heard, or C(null).
  returned: with O(state=listening) and O(state=absent)
  type: dict
  sample:
    node: node1
    links:
      - number: 0
        address: "10.10.1.21"
        port: 5405
        is_beside: false
    heard:
      - node: node2
        link: 0
        count: 20
  contains:
    node:
      description:
        - The node.
      returned: always
      type: str
    links:
      description:
        - >-
          C(number), C(address), C(port) of each link; C(is_beside) is V(true) where another program has corosync's
          port.
      returned: always
      type: list
      elements: dict
    heard:
      description:
        - C(count) of questions from a C(node) on a C(link).
      returned: always
      type: list
      elements: dict
row:
  description:
    - What this node measured.
  returned: with O(state=probed)
  type: dict
  contains:
    node:
      description:
        - The node that measured.
      returned: always
      type: str
    paths:
      description:
        - The way to each other node on each link.
      returned: always
      type: list
      elements: dict
      contains:
        link:
          description:
            - Number of the link.
          returned: always
          type: int
        to:
          description:
            - The other node.
          returned: always
          type: str
        address:
          description:
            - Its address.
          returned: always
          type: str
        port:
          description:
            - Its UDP port.
          returned: always
          type: int
        is_beside:
          description:
            - Whether that is not corosync's own.
          returned: always
          type: bool
        sent:
          description:
            - Questions that were sent.
          returned: always
          type: int
        answered:
          description:
            - Answers that came.
          returned: always
          type: int
        loss:
          description:
            - Percent of questions without an answer.
          returned: always
          type: float
        round_trip:
          description:
            - >-
              C(fastest), C(median), C(p99) and C(jitter) in milliseconds, jitter being the mean difference from one to
              the next. C(null) without an answer.
          returned: always
          type: dict
        path_mtu:
          description:
            - Bytes of the longest packet that came through.
          returned: always
          type: int
        interface_mtu:
          description:
            - Bytes of the longest packet that the interface sends.
          returned: always
          type: int
        silence:
          description:
            - >-
              Why no answer came, as far as this node can tell: V(not_local), V(no_route), V(filtered_here), V(refused),
              V(absent) (no host answers for the address), V(dropped) (the host is up) or V(unknown).
          returned: always
          type: str
        grade:
          description:
            - V(good), V(fair), V(bad) or V(silent).
          returned: always
          type: str
    corosync:
      description:
        - Where corosync runs, of each C(link) how many nodes it has C(connected), of how many C(nodes); else C(null).
      returned: always
      type: list
      elements: dict
checks:
  description:
    - Every check and what it found.
  returned: with O(state=compared)
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
    - Whether every link is fit for corosync.
  returned: with O(state=compared)
  type: bool
report:
  description:
    - "A table: each node and link with the worst of its paths."
  returned: with O(state=compared)
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
