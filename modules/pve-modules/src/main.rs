//! The one multi-call binary: runs the module that is named, an operation or a responder apart from the module that
//! began it, or the answer to the key of a join token.

use std::io::Read;
use std::process::ExitCode;

use pve::credential::pvecm::{self, Served};
use pve::credential::{answer, password};
use pve::{Node, link_probe, operation};
use pve_modules::pve_audit_info;
use pve_modules::pve_cluster_join::{self, token_file};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().take(32).collect();
    match words.as_slice() {
        [_, command, id] if command == operation::COMMAND => {
            match operation::run_unit(&Node::real_that_undoes(), id) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("operation {id}: {error:#}");
                    ExitCode::FAILURE
                }
            }
        }
        [_, command] if command == link_probe::unit::COMMAND => match link_probe::unit::run(&Node::real()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("link probe: {error:#}");
                ExitCode::FAILURE
            }
        },
        [_, command] if command == password::COMMAND => match password::restore_as_unit(&Node::real()) {
            Ok(told) => {
                println!("{told}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        },
        [_, command, id] if command == answer::COMMAND => match pvecm::serve(&Node::real(), id) {
            None => replied(&answer::answer(&Node::real(), id, &question())),
            Some(served) => serve(served),
        },
        [_, command] if command == answer::ADMIT => {
            replied(&answer::answer_admin(&Node::real(), &question()))
        }
        [_, command, verb] if command == "audit" && verb == "verify" => {
            match pve_audit_info::verify(&Node::real()) {
                Ok(is_good) => ExitCode::from(u8::from(!is_good)),
                Err(error) => {
                    eprintln!("{error:#}");
                    ExitCode::from(2)
                }
            }
        }
        words => match token_file::arguments(&Node::real(), words) {
            Some(args) => ansible_module::main_with(&pve_cluster_join::MODULE, args),
            None => ansible_module::main(pve_modules::MODULES),
        },
    }
}

fn question() -> String {
    let mut question = String::new();
    let read = std::io::stdin().lock().take(answer::LIMIT).read_to_string(&mut question);
    read.map(|_| question).unwrap_or_default()
}

fn replied(reply: &answer::Reply) -> ExitCode {
    println!("{}", serde_json::json!(reply));
    ExitCode::from(u8::from(!reply.ok))
}

/// Tells pvecm what it asked for, or lets rsync do so.
fn serve(served: Result<Served, impl std::fmt::Display>) -> ExitCode {
    let error = match served {
        Ok(Served::Said(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(Served::Becomes(cmd)) => Node::real().become_program(&cmd).to_string(),
        Err(error) => format!("{error:#}"),
    };
    eprintln!("{error}");
    ExitCode::FAILURE
}
