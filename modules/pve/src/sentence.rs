//! Sentences with places for what they are about. Where there are many of them, formatting each by itself makes a large
//! program; here a sentence is a text and a list.

/// A text with `$0` to `$9` replaced.
pub fn fill(text: &str, values: &[&str]) -> String {
    let mut filled = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let number = rest.as_bytes().get(at + 1).map(|digit| usize::from(digit.wrapping_sub(b'0')));
        match number.and_then(|number| values.get(number)) {
            Some(value) => {
                filled.push_str(&rest[..at]);
                filled.push_str(value);
                rest = &rest[at + 2..];
            }
            None => {
                filled.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_values_are_taken_as_they_are() {
        assert_eq!(fill("$0 has $1, $0", &["a", "$0"]), "a has $0, a");
        assert_eq!(fill("costs $, $7 or $x", &["a"]), "costs $, $7 or $x");
    }
}
