//! Prints every module's documentation file, rendered from its SPEC, as one JSON object.
//! A program of its own, so that the build tool itself does not wait for the modules to compile.

use std::collections::BTreeMap;

use anyhow::Result;

fn main() -> Result<()> {
    let modules = pve_modules::MODULES.iter();
    let files: BTreeMap<&str, String> =
        modules.map(|module| (module.spec.name, ansible_module::docs::module_py(module.spec))).collect();
    println!("{}", serde_json::to_string(&files)?);
    Ok(())
}
