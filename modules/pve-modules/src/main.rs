//! The one multi-call binary: runs the module that is named, or an operation apart from the module that began it.

use std::process::ExitCode;

use pve::Node;
use pve::operation;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().take(3).collect();
    match words.as_slice() {
        [_, command, id] if command == operation::COMMAND => match operation::run_unit(&Node::real(), id) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("operation {id}: {error:#}");
                ExitCode::FAILURE
            }
        },
        _ => ansible_module::main(pve_modules::MODULES),
    }
}
