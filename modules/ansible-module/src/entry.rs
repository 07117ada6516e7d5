//! From the command line to the end of the process: which module, which arguments, which result.
//!
//! The only place that knows how Ansible starts a module.

use std::path::Path;

use serde_json::{Map, Value};

use crate::invocation::{Invocation, Module};
use crate::outcome::{Failure, Fields};
use crate::validate::{Checked, Class, validate};
use crate::{emit, help, input, interrupt, journal, redact};

/// Runs one of the modules and ends the process.
///
/// The module is the one that `_ansible_module_name` in the arguments names, else the one the program is called
/// by (`AnsiballZ_<name>`, or a link of that name), else the one named first on the command line:
///
/// ```text
/// <name> FILE|-             <program> <name> FILE|-             <program> FILE|-
/// <name> --help             <program> <name> --argspec          <program> --version
/// ```
///
/// A program with commands of its own looks at its arguments before it calls this.
pub fn main(modules: &[&'static Module]) -> ! {
    interrupt::install();
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_default();
    let program =
        Path::new(&program).file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    let called_by = program.strip_prefix("AnsiballZ_").unwrap_or(&program);
    let mut words = words.peekable();
    // Ansible hands over an absolute path, so a word without a slash can only be a name.
    let first = words.peek().filter(|word| !word.contains('/')).and_then(|word| find(modules, word));
    if first.is_some() {
        words.next();
    }
    let named = first.or_else(|| find(modules, called_by));
    match words.next().as_deref() {
        None | Some("--help" | "-h") => show(&help::text(&program, modules, named)),
        Some("--version") => show(&format!("{program} {}\n", env!("CARGO_PKG_VERSION"))),
        Some("--argspec") => match named {
            Some(module) => show(&format!("{:#}\n", crate::argspec::argument_spec(module.spec))),
            None => emit::fail(format!("--argspec of which module? {}", names(modules))),
        },
        Some(option) if option.starts_with("--") => {
            emit::fail(format!("unknown option {option:?}: see {program} --help"))
        }
        Some(word) if named.is_none() && is_misspelt_name(word) => {
            emit::fail(format!("there is no module {word:?}: {}", names(modules)))
        }
        Some(source) => run(modules, named, called_by, source),
    }
}

/// A word that can be neither a file of arguments nor standard input.
fn is_misspelt_name(word: &str) -> bool {
    word != "-" && !word.contains('/') && !Path::new(word).exists()
}

fn show(text: &str) -> ! {
    use std::io::Write;
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    std::process::exit(0)
}

fn find(modules: &[&'static Module], name: &str) -> Option<&'static Module> {
    let last = name.rsplit('.').next().unwrap_or(name);
    modules.iter().find(|module| module.spec.name == last).copied()
}

fn names(modules: &[&Module]) -> String {
    let names: Vec<&str> = modules.iter().map(|module| module.spec.name).collect();
    format!("this program has {}", names.join(", "))
}

/// Runs one module with arguments that a program made of its own command line, or tells what is wrong with that.
pub fn main_with(module: &'static Module, args: Result<Map<String, Value>, String>) -> ! {
    interrupt::install();
    let raw = args.unwrap_or_else(|msg| emit::fail(msg));
    serve(&[module], Some(module), module.spec.name, raw)
}

fn run(modules: &[&'static Module], named: Option<&'static Module>, called_by: &str, source: &str) -> ! {
    let raw = input::read(source).unwrap_or_else(|failure| end_early(failure));
    serve(modules, named, called_by, raw)
}

fn serve(
    modules: &[&'static Module],
    named: Option<&'static Module>,
    called_by: &str,
    mut raw: Map<String, Value>,
) -> ! {
    let mut invocation = Invocation::from_raw(&mut raw).unwrap_or_else(|failure| end_early(failure));
    let wanted =
        if invocation.module_name.is_empty() { None } else { find(modules, &invocation.module_name) };
    let Some(module) = wanted.or(named) else {
        let name = if invocation.module_name.is_empty() { called_by } else { &invocation.module_name };
        emit::fail(format!("no module {name:?} here: {}", names(modules)));
    };
    if invocation.module_name.is_empty() {
        module.spec.name.clone_into(&mut invocation.module_name);
    }
    let spec = module.spec;
    let checked = validate(spec.options, &spec.relations, raw);
    checked.secrets.iter().for_each(|secret| redact::add(secret));
    let shown = shown_arguments(&checked);
    let Checked { params, problems, mut warnings, deprecations, .. } = checked;

    let first = problems.into_iter().next();
    let refused = first.filter(|p| !(p.class == Class::Unsupported && invocation.ignore_unknown_opts));
    let mut fields = if let Some(problem) = refused {
        let msg = match problem.class {
            Class::Unsupported => {
                format!("Unsupported parameters for ({}) module: {}", invocation.module_name, problem.msg)
            }
            _ => problem.msg,
        };
        Failure::new(msg).into_fields()
    } else if invocation.check_mode && !spec.supports_check_mode {
        skipped(&invocation.module_name)
    } else {
        warnings.extend(journal::log_invocation(&invocation, spec.options, &params));
        leave_hidden_directory();
        invocation.params = params;
        match (module.run)(&invocation) {
            Ok(outcome) => outcome.into_fields(invocation.diff_mode),
            Err(failure) => failure.into_fields(),
        }
    };
    warnings.append(&mut fields.warnings);
    let mut notices = deprecations;
    notices.append(&mut fields.deprecations);
    let mut result = fields.map;
    if !warnings.is_empty() {
        result.insert("warnings".to_owned(), warnings.into());
    }
    if !notices.is_empty() {
        let notices: Vec<Value> = notices.into_iter().map(|notice| notice.into_value()).collect();
        result.insert("deprecations".to_owned(), notices.into());
    }
    if invocation.inject_invocation {
        let mut inner = Map::new();
        inner.insert("module_args".to_owned(), Value::Object(shown));
        result.insert("invocation".to_owned(), Value::Object(inner));
    }
    emit::finish(result)
}

/// With another user's rights the working directory may not be readable, and tools that are run then fail.
fn leave_hidden_directory() {
    if std::fs::read_dir(".").is_err() {
        let _ = std::env::set_current_dir("/");
    }
}

fn skipped(name: &str) -> Fields {
    let mut map = Map::new();
    map.insert("skipped".to_owned(), Value::Bool(true));
    map.insert("changed".to_owned(), Value::Bool(false));
    let msg = format!("remote module ({name}) does not support check mode");
    map.insert("msg".to_owned(), Value::String(msg));
    Fields { map, warnings: Vec::new(), deprecations: Vec::new() }
}

fn end_early(failure: Failure) -> ! {
    emit::finish(failure.into_fields().map)
}

/// The arguments for `invocation`. The value of an unknown option is hidden: it may be a misspelt secret.
fn shown_arguments(checked: &Checked) -> Map<String, Value> {
    let mut shown = checked.params.clone();
    for path in &checked.unsupported {
        if let Some((first, rest)) = path.split_first() {
            if let Some(value) = shown.get_mut(first) {
                hide(value, rest);
            }
        }
    }
    shown
}

fn hide(value: &mut Value, path: &[String]) {
    match (path.split_first(), value) {
        (None, value) => *value = Value::String(redact::MASK.to_owned()),
        (Some(_), Value::Array(items)) => items.iter_mut().for_each(|item| hide(item, path)),
        (Some((first, rest)), Value::Object(map)) => {
            if let Some(inner) = map.get_mut(first) {
                hide(inner, rest);
            }
        }
        _ => {}
    }
}
