//! `--help`, for a person at a shell: a short text out of the table.

use crate::invocation::Module;
use crate::spec::{Opt, Preset};

/// Help for one module, or for the program.
pub fn text(program: &str, modules: &[&Module], named: Option<&Module>) -> String {
    match named {
        Some(module) => of_module(module),
        None => of_program(program, modules),
    }
}

fn of_program(program: &str, modules: &[&Module]) -> String {
    let mut text = format!(
        "Usage: {program} MODULE FILE|-   run a module with the JSON arguments in FILE or on standard input\n\
         \x20      {program} MODULE --help   its options\n\
         \x20      {program} MODULE --argspec\n\
         \x20      {program} --version\n\nModules:\n"
    );
    for module in modules {
        text.push_str(&format!("  {:28} {}\n", module.spec.name, plain(module.spec.short_description)));
    }
    text
}

fn of_module(module: &Module) -> String {
    let spec = module.spec;
    let mut text = format!("{}: {}\n\n", spec.name, plain(spec.short_description));
    for paragraph in spec.description {
        text.push_str(&format!("{}\n", plain(paragraph)));
    }
    text.push_str("\nOptions (* required):\n");
    options(&mut text, spec.options, 2);
    text.push_str(&format!(
        "\nCheck mode: {}. Diff: {}. Arguments are one JSON object in a file or, with -, on standard input.\n",
        if spec.supports_check_mode { "yes" } else { "no" },
        if spec.supports_diff { "yes" } else { "no" },
    ));
    text
}

fn options(text: &mut String, options_of: &[Opt], indent: usize) {
    for opt in options_of {
        let mut facts = opt.kind.word().to_owned();
        if let Some(kind) = opt.elements {
            facts.push_str(&format!(" of {}", kind.word()));
        }
        match opt.default {
            Some(Preset::Json(default) | Preset::Text(default)) => {
                facts.push_str(&format!(", default {default}"))
            }
            None => {}
        }
        if !opt.choices.is_empty() {
            facts.push_str(&format!(", one of {}", opt.choices.join(" ")));
        }
        if !opt.aliases.is_empty() {
            facts.push_str(&format!(", also {}", opt.aliases.join(" ")));
        }
        let star = if opt.required { "*" } else { "" };
        text.push_str(&format!("{:indent$}{}{star} ({facts})\n", "", opt.name));
        for paragraph in opt.description {
            text.push_str(&format!("{:1$}{2}\n", "", indent + 4, plain(paragraph)));
        }
        options(text, opt.options, indent + 4);
    }
}

/// Without Ansible's markup: `C(x)`, `O(x)`, `V(x)`, `M(x)` … become `x`.
fn plain(marked: &str) -> String {
    let mut out = String::new();
    let mut chars = marked.chars().peekable();
    let mut is_word_start = true;
    while let Some(c) = chars.next() {
        if is_word_start && "BCEIMOPUV".contains(c) && chars.peek() == Some(&'(') {
            chars.next();
            out.extend(chars.by_ref().take_while(|c| *c != ')'));
            is_word_start = false;
        } else {
            is_word_start = !c.is_alphanumeric();
            out.push(c);
        }
    }
    out
}
