//! Templates of HTML: every value is escaped where it is printed, since Ansible's engine escapes nothing by itself.

use super::Finding;
use super::sources::Source;

/// Each `{{ … }}` of an HTML template ends with `| e` that is of the whole of it, or calls a macro of these templates.
pub fn values_escaped(sources: &[Source]) -> Vec<Finding> {
    let templates = sources.iter().filter(|source| source.path.ends_with(".html.j2"));
    let mut found = Vec::new();
    for source in templates {
        for (at, _) in source.text.match_indices("{{") {
            let Some((inner, _)) = source.text[at + 2..].split_once("}}") else { continue };
            if !is_escaped(inner) && !is_macro(inner, &source.text) {
                let line = source.text[..at].lines().count();
                let what = format!("prints {:?} without | e of the whole", inner.trim());
                found.push(Finding { path: source.path.clone(), line, what });
            }
        }
    }
    found
}

/// `a.b | filter(…) | e`: without an operator outside of parentheses, which a filter would bind stronger than.
fn is_escaped(inner: &str) -> bool {
    let outside = outside_brackets(inner);
    let parts: Vec<&str> = outside.split('|').map(str::trim).collect();
    let is_one_word = |part: &&str| !part.is_empty() && !part.contains(char::is_whitespace);
    matches!(parts.as_slice(), [values @ .., "e"] if !values.is_empty() && values.iter().all(is_one_word))
}

/// `name(…)` of a macro of this file, or `parts.name(…)`.
fn is_macro(inner: &str, template: &str) -> bool {
    let outside = outside_brackets(inner);
    let Some(name) = outside.trim().strip_suffix("()") else { return false };
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    match name.strip_prefix("parts.") {
        Some(name) => is_name(name),
        None => is_name(name) && template.contains(&format!("macro {name}(")),
    }
}

/// The expression without what its strings and brackets hold.
fn outside_brackets(inner: &str) -> String {
    let (mut outside, mut depth, mut quote) = (String::new(), 0_usize, None);
    for c in inner.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => {
                quote = Some(c);
                if depth == 0 {
                    outside.push('s');
                }
            }
            (None, '(' | '[' | '{') => {
                if depth == 0 {
                    outside.push(c);
                }
                depth += 1;
            }
            (None, ')' | ']' | '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    outside.push(c);
                }
            }
            (None, _) if depth == 0 => outside.push(c),
            (None, _) => {}
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        values_escaped(&[Source { path: "playbooks/templates/a.html.j2".into(), text: text.into() }]).len()
    }

    #[test]
    fn a_value_that_is_not_escaped_as_a_whole_is_found() {
        for text in [
            "{{ name }}",
            "{{ name | upper }}",
            "{{ name | e | upper }}",
            "{{ a ~ b | e }}",
            "{{ a if b else c | e }}",
            "{{ '| e' ~ name }}",
            "{{ lookup('env', 'HOME') }}",
            "{{ a }}{{ b | e }}",
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
    }

    #[test]
    fn escaped_values_and_macros_are_not() {
        for text in [
            "{{ name | e }}",
            "{{ node.info[key] | default('-', true) | join(', ') | e }}",
            "{{ (a ~ b if c else 'x') | e }}",
            "{{ {'a': 1}[b] | e }}",
            "{{ parts.badge('ok', a ~ b) }}",
            "{% macro cell(x) %}{% endmacro %}{{ cell(a) }}",
        ] {
            assert_eq!(found(text), 0, "{text}");
        }
        assert!(
            values_escaped(&[Source { path: "a.sudoers.j2".into(), text: "{{ name }}".into() }]).is_empty()
        );
    }
}
