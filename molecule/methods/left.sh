#!/bin/bash
# Whatever of a credential could be left on a node; prints nothing where nothing is.
exec 2>/dev/null
grep -h 'sddc-pve-token-' /etc/pve/priv/authorized_keys /root/.ssh/authorized_keys2
find /etc/pve/priv/sddc-pve /run/sddc-pve /var/lib/sddc-pve -type f ! -name '*.lock' ! -path '*/operations/*.json'
find /etc -name '.shadow*' -o -path '/etc/systemd/*' -name 'sddc-pve-restore-password*'
systemctl --no-pager list-timers --all --no-legend --plain | grep sddc-pve
systemctl --no-pager list-units --all --no-legend --plain | grep -E 'sddc-pve-(operation|restore-password)'
pgrep -af '/usr/local/lib/sddc-pve/.*/pve|pvecm add'
# The lab's password and what begins a ticket, a token, an openssh key.
secrets='Secret123!|PVE:root@pam:[0-9A-F]{8}::|proxmox\.[a-z0-9]{10}\.|BEGIN OPENSSH PRIVATE KEY'
grep -rlE "$secrets" /run /var/lib/sddc-pve /var/log/pve-cluster-audit.jsonl /var/log/pve --exclude-dir=log
journalctl --no-pager -q | grep -E "$secrets"
exit 0
