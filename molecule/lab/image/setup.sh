#!/bin/sh
# Runs once while the image is built, without a network: joins Debian, the units and the emulator into a node.
set -eu
here=/usr/lib/pve-lab/image

# A clone starts without identity: each node makes its own at its first boot.
rm -f /etc/ssh/ssh_host_* /etc/hostname /etc/hosts /etc/resolv.conf 2>/dev/null || true
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id
mkdir -p /var/log/journal

# Root as Proxmox VE sets it up: password login over ssh permitted.
echo 'root:Secret123!' | chpasswd
install -d -m 0700 /root/.ssh
sed -i 's/^#\?PermitRootLogin .*/PermitRootLogin yes/' /etc/ssh/sshd_config

# Debian ships an example; on Proxmox VE the file appears with the cluster.
rm -f /etc/corosync/corosync.conf

# No mirror is reachable from the lab, and nothing is to be fetched: apt works on what is installed.
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/99mmdebstrap
install -d /etc/apt/sources.list.d /var/lib/apt/lists/partial

# The emulator under PVE's names.
chmod 0755 /usr/lib/pve-lab/pve-lab /usr/lib/pve-lab/boot
grep -v '^#' "$here/links.txt" | while read -r link; do ln -sf /usr/lib/pve-lab/pve-lab "$link"; done
install -d /var/lib/pve-lab/shared /var/lib/pve-cluster /var/log/pve/tasks

# dpkg reports PVE's packages as installed.
grep -v '^#' "$here/pve-packages.txt" | while read -r name version; do
    cat >>/var/lib/dpkg/status <<EOF
Package: $name
Status: install ok installed
Priority: optional
Section: admin
Maintainer: lab of the sddc.pve collection
Architecture: all
Version: $version
Description: stands in for the Proxmox VE package of this name

EOF
    : >"/var/lib/dpkg/info/$name.list"
done

systemctl enable --quiet pve-lab-boot ssh chrony corosync pve-cluster pvedaemon pveproxy \
    pvestatd pvescheduler pve-ha-lrm pve-ha-crm spiceproxy pve-firewall pve-guests
# Installed on every node, at work where it is set up: without a device in corosync.conf it could not start.
systemctl disable --quiet corosync-qdevice corosync-qnetd
# What has no sense in a container or would reach for a mirror in the middle of a test.
systemctl mask --quiet getty.target console-getty.service systemd-udevd.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer
systemctl set-default --quiet multi-user.target
rm -rf /var/cache/apt/*.bin /Dockerfile
# Spares the first boot of every node the rebuilding of caches that are up to date.
touch /etc/.updated /var/.updated
