#!/bin/bash
# What a run in check mode must leave as it was: files with their content, modes and owners, units and timers.
# The kept binary below /root/.ansible is how a module comes to a node, in check mode too.
set -u
find /etc /root/.ssh /usr/local /var/lib/sddc-pve /var/lib/corosync /run/sddc-pve /var/log/pve-cluster-audit.jsonl \
    \( -path '/etc/pve/.*' -prune \) -o \( -type f -o -type l \) -print0 2>/dev/null | sort -z |
    while IFS= read -r -d '' file; do
        printf '%s %s ' "$(stat -c '%a %U %G %F' "$file")" "$file"
        sha256sum <"$file" | cut -c 1-16
    done
systemctl --no-pager list-unit-files --no-legend --plain
systemctl --no-pager list-timers --all --no-legend --plain | awk '{ print $NF }' | sort
