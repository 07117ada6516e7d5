//! Calls of modules in tests: arguments through the module's own table, as the entry checks them.

use ansible_module::validate::validate;
use ansible_module::{Failure, Invocation, Module, Outcome};
use serde_json::{Map, Value};

/// An invocation with these arguments.
pub fn invocation(module: &Module, args: Value) -> Invocation {
    let Value::Object(args) = args else { panic!("arguments are an object") };
    let checked = validate(module.spec.options, &module.spec.relations, args);
    assert!(checked.problems.is_empty(), "{:?}", checked.problems);
    let mut call = Invocation::default();
    call.module_name = format!("sddc.pve.{}", module.spec.name);
    call.params = checked.params;
    call
}

/// The fields of a result as Ansible gets them, or those of a failure with `failed`.
pub fn fields(result: Result<Outcome, Failure>) -> Map<String, Value> {
    let mut fields = Map::new();
    let (state, msg, data, warnings) = match result {
        Ok(outcome) => (("changed", outcome.changed), outcome.msg, outcome.data, outcome.warnings),
        Err(failure) => (("failed", true), failure.msg, failure.data, failure.warnings),
    };
    fields.insert(state.0.to_owned(), state.1.into());
    fields.insert("msg".to_owned(), msg.into());
    if !warnings.is_empty() {
        fields.insert("warnings".to_owned(), warnings.into());
    }
    fields.extend(data);
    fields
}

/// Every file below a directory and its content, to see whether anything changed.
pub fn tree(dir: &std::path::Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(tree(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap_or_default());
        }
    }
    found
}
