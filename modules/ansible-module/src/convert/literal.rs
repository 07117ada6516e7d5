//! Python literals, as `ast.literal_eval` reads them: the form in which older templates hand over mappings.
//!
//! Tuples and sets become lists, keys become text as `json.dumps` writes them. Bytes and complex numbers have no
//! JSON form and are refused.

use serde_json::{Map, Number, Value};

/// Deeper than this is refused, as the JSON reader does.
const MAX_DEPTH: usize = 100;

/// None where the text is no literal or has no JSON form.
#[must_use]
pub fn parse_literal(text: &str) -> Option<Value> {
    // Leading blanks are indentation to Python's compiler, and `literal_eval` strips them.
    let mut parser = Parser { rest: text.trim_start_matches([' ', '\t']), depth: 0 };
    let value = parser.value()?;
    parser.blank();
    parser.rest.is_empty().then_some(value)
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Blanks, comments and continued lines.
    fn blank(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
            if let Some(comment) = self.rest.strip_prefix('#') {
                self.rest = &comment[comment.find('\n').unwrap_or(comment.len())..];
            } else if let Some(continued) = self.rest.strip_prefix("\\\n") {
                self.rest = continued;
            } else {
                return;
            }
        }
    }

    fn take(&mut self, c: char) -> bool {
        self.blank();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.blank();
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let value = match self.rest.chars().next()? {
            '{' => self.braced(),
            '[' => {
                self.rest = &self.rest[1..];
                self.items(']').map(|(items, _)| Value::Array(items))
            }
            '(' => {
                self.rest = &self.rest[1..];
                let (mut items, has_comma) = self.items(')')?;
                // One item without a comma is that item in parentheses.
                if items.len() == 1 && !has_comma { items.pop() } else { Some(Value::Array(items)) }
            }
            '+' | '-' | '.' | '0'..='9' => self.number(),
            _ => self.word(),
        };
        self.depth -= 1;
        value
    }

    /// The rest of a sequence, and whether it had a comma.
    fn items(&mut self, close: char) -> Option<(Vec<Value>, bool)> {
        let mut items = Vec::new();
        let mut has_comma = false;
        loop {
            if self.take(close) {
                return Some((items, has_comma));
            }
            if !items.is_empty() && !has_comma {
                return None;
            }
            items.push(self.value()?);
            let comma = self.take(',');
            has_comma |= comma;
            if !comma {
                return self.take(close).then_some((items, has_comma));
            }
        }
    }

    fn braced(&mut self) -> Option<Value> {
        self.rest = &self.rest[1..];
        if self.take('}') {
            return Some(Value::Object(Map::new()));
        }
        let first = self.value()?;
        if !self.take(':') {
            let is_last = !self.take(',');
            let mut items = vec![first];
            if is_last {
                return self.take('}').then_some(Value::Array(items));
            }
            let (rest, _) = self.items('}')?;
            items.extend(rest);
            return Some(Value::Array(items));
        }
        let mut map = Map::new();
        let mut key = first;
        loop {
            let value = self.value()?;
            map.insert(key_text(key)?, value);
            if !self.take(',') {
                return self.take('}').then_some(Value::Object(map));
            }
            if self.take('}') {
                return Some(Value::Object(map));
            }
            key = self.value()?;
            if !self.take(':') {
                return None;
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        let mut is_negative = false;
        while let Some(sign) = self.rest.chars().next().filter(|c| matches!(c, '+' | '-')) {
            is_negative ^= sign == '-';
            self.rest = &self.rest[1..];
            self.blank();
        }
        let mut end = 0;
        let bytes = self.rest.as_bytes();
        while let Some(byte) = bytes.get(end) {
            let is_exponent_sign = matches!(byte, b'+' | b'-')
                && end > 0
                && matches!(bytes[end - 1], b'e' | b'E')
                && !self.rest.starts_with("0x")
                && !self.rest.starts_with("0X");
            if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || is_exponent_sign {
                end += 1;
            } else {
                break;
            }
        }
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        number_of(token, is_negative)
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if rest.starts_with(['\'', '"']) {
            return self.strings().map(Value::String);
        }
        self.rest = rest;
        match word {
            "None" => Some(Value::Null),
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            _ => None,
        }
    }

    /// Adjacent strings are one.
    fn strings(&mut self) -> Option<String> {
        let mut out = String::new();
        loop {
            let end = self.rest.find(['\'', '"'])?;
            let prefix = self.rest[..end].to_ascii_lowercase();
            if !matches!(prefix.as_str(), "" | "u" | "r") {
                return None;
            }
            self.rest = &self.rest[end..];
            self.string(&mut out, prefix == "r")?;
            self.blank();
            let next = self.rest.trim_start_matches(['u', 'U', 'r', 'R']);
            if !next.starts_with(['\'', '"']) {
                return Some(out);
            }
        }
    }

    fn string(&mut self, out: &mut String, is_raw: bool) -> Option<()> {
        let triple = ["'''", "\"\"\""].into_iter().find(|mark| self.rest.starts_with(mark));
        let mark = triple.unwrap_or(&self.rest[..1]);
        self.rest = &self.rest[mark.len()..];
        loop {
            if let Some(rest) = self.rest.strip_prefix(mark) {
                self.rest = rest;
                return Some(());
            }
            let c = self.next()?;
            match c {
                '\\' if is_raw => {
                    out.push('\\');
                    out.push(self.next()?);
                }
                '\\' => self.escape(out)?,
                '\n' | '\r' if triple.is_none() => return None,
                // Source text knows one kind of line end.
                '\r' => {
                    self.rest = self.rest.strip_prefix('\n').unwrap_or(self.rest);
                    out.push('\n');
                }
                '\0' => return None,
                c => out.push(c),
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        Some(c)
    }

    fn escape(&mut self, out: &mut String) -> Option<()> {
        let c = self.next()?;
        let plain = match c {
            '\n' => return Some(()),
            '\\' | '\'' | '"' => c,
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => self.code(2)?,
            'u' => self.code(4)?,
            'U' => self.code(8)?,
            // Names of characters would need a table of them all.
            'N' => return None,
            '0'..='7' => {
                let mut code = u32::from(c) - u32::from('0');
                for _ in 0..2 {
                    match self.rest.chars().next().and_then(|c| c.to_digit(8)) {
                        Some(digit) => code = code * 8 + digit,
                        None => break,
                    }
                    self.rest = &self.rest[1..];
                }
                char::from_u32(code)?
            }
            other => {
                out.push('\\');
                other
            }
        };
        out.push(plain);
        Some(())
    }

    fn code(&mut self, length: usize) -> Option<char> {
        let digits = self.rest.get(..length).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.rest = &self.rest[length..];
        char::from_u32(u32::from_str_radix(digits, 16).ok()?)
    }
}

fn number_of(token: &str, is_negative: bool) -> Option<Value> {
    // One underscore between digits, or after a base prefix.
    let has_stray_underscore = token.contains("__") || token.starts_with('_') || token.ends_with('_');
    if has_stray_underscore {
        return None;
    }
    let plain = token.replace('_', "").to_ascii_lowercase();
    let radix = match plain.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => 10,
    };
    let digits = if radix == 10 { plain.as_str() } else { &plain[2..] };
    let is_whole = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    if is_whole {
        // A leading zero is an error in Python, unless the number is zero.
        if radix == 10 && digits.len() > 1 && digits.starts_with('0') && digits.bytes().any(|b| b != b'0') {
            return None;
        }
        let whole = i128::from(u64::from_str_radix(digits, radix).ok()?);
        let whole = if is_negative { -whole } else { whole };
        return i64::try_from(whole).map(Value::from).or_else(|_| u64::try_from(whole).map(Value::from)).ok();
    }
    if radix != 10 || !plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-')) {
        return None;
    }
    let float: f64 = plain.parse().ok()?;
    Number::from_f64(if is_negative { -float } else { float }).map(Value::Number)
}

fn key_text(key: Value) -> Option<String> {
    match key {
        Value::String(text) => Some(text),
        Value::Null => Some("null".to_owned()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(crate::python::number_text(&number)),
        Value::Array(_) | Value::Object(_) => None,
    }
}
