//! Whole and other numbers out of text, as Python's `decimal.Decimal` and `float` read them.

use serde_json::{Number, Value};

use crate::python::strip;

/// A whole number in 64 bits. `"7"`, `" 7.0 "`, `"7e3"` and `7.0` are whole; `"7.5"` is not.
pub fn int(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(flag) => Some(Value::from(u8::from(*flag))),
        Value::Number(number) if !number.is_f64() => Some(value.clone()),
        Value::Number(number) => whole_float(number.as_f64()?),
        Value::String(text) => whole_text(text),
        _ => None,
    }
}

/// A finite number: JSON has no other.
pub fn float(value: &Value) -> Option<Value> {
    let float = match value {
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text_float(text)?,
        _ => return None,
    };
    Number::from_f64(float).map(Value::Number)
}

fn whole_float(float: f64) -> Option<Value> {
    // 2^63 and 2^64 are exact as floats, so the comparisons are too.
    if float.fract() != 0.0 {
        None
    } else if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float) {
        Some(Value::from(float as i64))
    } else if (0.0..18_446_744_073_709_551_616.0).contains(&float) {
        Some(Value::from(float as u64))
    } else {
        None
    }
}

/// What `Decimal` takes: sign, digits, one point, exponent; underscores anywhere. Whole in value, not in form.
fn whole_text(text: &str) -> Option<Value> {
    let plain: String = strip(text).chars().filter(|c| *c != '_').collect();
    let (negative, rest) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain.as_str()),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (rest, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if before.is_empty() && after.is_empty()
        || !before.bytes().chain(after.bytes()).all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let digits = format!("{before}{after}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let shift = exponent.checked_sub(i64::try_from(after.len()).ok()?)?.checked_add(zeros)?;
    if significant.is_empty() {
        return Some(Value::from(0));
    }
    // A 64-bit number has 20 digits at most.
    let zeros = usize::try_from(shift).ok().filter(|zeros| significant.len() + zeros <= 20)?;
    let whole: i128 = format!("{significant}{}", "0".repeat(zeros)).parse().ok()?;
    let whole = if negative { -whole } else { whole };
    i64::try_from(whole).map(Value::from).or_else(|_| u64::try_from(whole).map(Value::from)).ok()
}

fn exponent_of(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// What `float` takes, without the infinities: underscores only between digits.
fn text_float(text: &str) -> Option<f64> {
    // Python takes a short cut for ASCII, which does not know the information separators as blanks.
    let text = if text.is_ascii() {
        text.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r'])
    } else {
        strip(text)
    };
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        match byte {
            b'_' if is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)) => {}
            b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E' => {}
            _ => return None,
        }
    }
    text.replace('_', "").parse().ok().filter(|float: &f64| float.is_finite())
}
