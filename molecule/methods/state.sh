#!/bin/sh
# What a run in check mode must leave as it was: files with their content, modes and owners, units and timers.
# The kept binary below /root/.ansible is how a module comes to a node, in check mode too.
export LC_ALL=C
watched="/etc /root/.ssh /usr/local /var/lib/sddc-pve /var/lib/corosync /run/sddc-pve /var/log/pve-cluster-audit.jsonl"
find $watched -path '/etc/pve/.*' -prune -o -printf '%y %m %u:%g %p %l\n' 2>/dev/null | sort
find $watched -path '/etc/pve/.*' -prune -o -type f -print0 2>/dev/null | sort -z | xargs -0 sha256sum
systemctl --no-pager list-unit-files --no-legend --plain
systemctl --no-pager list-timers --all --no-legend --plain | awk '{ print $NF }' | sort
