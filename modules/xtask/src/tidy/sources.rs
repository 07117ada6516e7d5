//! The project's own text files as rules see them. Knows nothing about the rules.

use anyhow::Result;

use crate::command::Cmd;
use crate::project::Project;

/// A text file of the project.
pub struct Source {
    /// Relative to the top of the checkout.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl Source {
    /// Numbered lines of the whole file.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Numbered lines of a Rust file that end up in a program: no tests, no comments.
    pub fn program_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = if self.is_test() { 0 } else { self.inline_tests().unwrap_or(usize::MAX) };
        let lines = self.lines().take_while(move |(number, _)| *number < end);
        lines.map(|(number, line)| (number, code(line))).filter(|(_, line)| !line.is_empty())
    }

    /// Whether the file's extension is this one.
    pub fn is(&self, extension: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, found)| found == extension)
    }

    fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').collect();
        let is_test = |part: &&str| ["tests", "tests.rs", "fake", "fake.rs", "examples"].contains(part);
        parts.iter().any(is_test)
    }

    /// The line where the tests at the end of the file begin.
    fn inline_tests(&self) -> Option<usize> {
        let lines: Vec<&str> = self.text.lines().collect();
        let opens = |pair: &[&str]| {
            pair[0].trim() == "#[cfg(test)]"
                && pair[1].starts_with("mod ")
                && pair[1].trim_end().ends_with('{')
        };
        lines.windows(2).position(opens).map(|index| index + 1)
    }
}

/// A line without its comment.
fn code(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with("//") { "" } else { line.split(" // ").next().unwrap_or(line) }
}

/// Every text file that git knows or would take.
pub fn read(project: &Project) -> Result<Vec<Source>> {
    let list = Cmd::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .dir(project.root())
        .read()?;
    let mut sources = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        // A file that is deleted but still in the index, a link, a binary fixture: nothing to read.
        if let Ok(text) = std::fs::read_to_string(project.path(path)) {
            sources.push(Source { path: path.to_owned(), text });
        }
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(path: &str, text: &str) -> Vec<usize> {
        let source = Source { path: path.into(), text: text.into() };
        source.program_lines().map(|(number, _)| number).collect()
    }

    #[test]
    fn tests_and_comments_are_no_program() {
        let text = "a();\n// b\nc(); // d\n#[cfg(test)]\nmod tests {\n    e();\n}\n";
        assert_eq!(numbers("modules/pve/src/x.rs", text), [1, 3]);
        for path in
            ["modules/pve/tests/x.rs", "modules/pve/src/x/tests.rs", "modules/pve/src/fake/machine.rs"]
        {
            assert_eq!(numbers(path, text), Vec::<usize>::new(), "{path}");
        }
    }

    #[test]
    fn the_declaration_of_a_test_file_ends_nothing() {
        assert_eq!(numbers("modules/pve/src/x.rs", "#[cfg(test)]\nmod tests;\na();\n"), [1, 2, 3]);
    }
}
