//! Emulator of the Proxmox VE layer.
fn main() {}
