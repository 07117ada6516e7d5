//! Sizes such as `10MB` (bytes) and `10Mb` (bits), as ansible-core's `human_to_bytes` reads them.

use serde_json::Value;

use crate::python::{is_space, text};

/// `2K`, `2KB`, `2 kilobyte`: a number of bytes.
pub fn bytes(value: &Value) -> Option<Value> {
    size(&text(value), false)
}

/// `2K`, `2Kb`, `2 kilobit`: a number of bits.
pub fn bits(value: &Value) -> Option<Value> {
    size(&text(value), true)
}

/// The range letter, its factor as a power of two, and the long name's beginning.
const RANGES: [(char, u32, &str); 9] = [
    ('Y', 80, "yotta"),
    ('Z', 70, "zeta"),
    ('E', 60, "exa"),
    ('P', 50, "peta"),
    ('T', 40, "tera"),
    ('G', 30, "giga"),
    ('M', 20, "mega"),
    ('K', 10, "kilo"),
    ('B', 0, ""),
];

fn size(text: &str, is_bits: bool) -> Option<Value> {
    let text = text.trim_end_matches(is_space);
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or(("", number));
    if fraction.is_empty() || fraction.contains('.') || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let unit = rest.trim_start_matches(is_space);
    if unit.is_empty() {
        return whole_number(number);
    }
    if !unit.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let letter = unit.chars().next()?.to_ascii_uppercase();
    let (_, power, prefix) = RANGES.iter().find(|(range, _, _)| *range == letter)?;
    if unit.len() > 1 {
        let (long, short) = if is_bits { ("bit", "b") } else { ("byte", "B") };
        let long = format!("{prefix}{long}");
        let short = if *power == 0 { short.to_owned() } else { format!("{letter}{short}") };
        if unit.to_ascii_lowercase() != long && unit != short {
            return None;
        }
    }
    whole_number(number * 2f64.powi(i32::try_from(*power).ok()?))
}

fn whole_number(number: f64) -> Option<Value> {
    let rounded = number.round_ties_even();
    // 2^64 is exact as a float.
    (rounded < 18_446_744_073_709_551_616.0).then(|| Value::from(rounded as u64))
}
