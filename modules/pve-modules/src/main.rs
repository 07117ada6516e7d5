//! The one multi-call binary: runs the module that is named.

fn main() {
    ansible_module::main(pve_modules::MODULES)
}
