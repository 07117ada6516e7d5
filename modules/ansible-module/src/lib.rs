//! The Ansible module protocol. Knows no PVE.
