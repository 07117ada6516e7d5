//! The emulator's one binary: what it is called by decides what it is (`pmxcfs`, `pvecm`, `pvesh`, …).
fn main() -> std::process::ExitCode {
    pve_lab::main()
}
