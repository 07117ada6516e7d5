//! Proxmox VE and corosync on one node. Knows no Ansible.
