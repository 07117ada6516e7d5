//! HTTP/1.1 messages, as far as the API needs them: request and answer, forms, cookies.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 2 * 1024 * 1024;

/// A request as it came in.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// Path as sent, without the query.
    pub path: String,
    pub query: String,
    /// Header names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub content_type: Option<&'static str>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.header("cookie")?;
        cookies
            .split(';')
            .filter_map(|cookie| cookie.trim().split_once('='))
            .find_map(|(key, value)| (key == name).then(|| percent_decode(value, false)))
    }

    /// Parameters of query and form body; JSON bodies are taken as well.
    pub fn params(&self) -> BTreeMap<String, String> {
        let mut params = form(&self.query);
        if self.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
            let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
            for (key, value) in json.as_object().into_iter().flatten() {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                params.insert(key.clone(), text);
            }
        } else {
            params.extend(form(&String::from_utf8_lossy(&self.body)));
        }
        params
    }
}

fn form(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (percent_decode(key, true), percent_decode(value, true)))
        .collect()
}

pub fn percent_decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (bytes[at], code.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) if plus_is_space => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

pub fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn bad(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Reads up to the blank line; gives the head and what came after it.
fn read_head(stream: &mut impl Read) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut data = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        if let Some(end) = data.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = data.split_off(end + 4);
            return Ok(Some((data, rest)));
        }
        if data.len() > MAX_HEAD {
            return Err(bad("head too long"));
        }
        match stream.read(&mut chunk)? {
            0 if data.is_empty() => return Ok(None),
            0 => return Err(bad("connection ended within the head")),
            count => data.extend(&chunk[..count]),
        }
    }
}

fn header_map(headers: &[httparse::Header<'_>]) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|header| {
            (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).trim().to_owned())
        })
        .collect()
}

fn read_body(
    stream: &mut impl Read,
    mut body: Vec<u8>,
    headers: &BTreeMap<String, String>,
    until_end: bool,
) -> io::Result<Vec<u8>> {
    let length = headers.get("content-length").and_then(|text| text.parse::<usize>().ok());
    let wanted = match length {
        Some(length) if length > MAX_BODY => return Err(bad("body too long")),
        Some(length) => length,
        None if until_end => MAX_BODY,
        None => 0,
    };
    let mut chunk = [0; 8192];
    while body.len() < wanted {
        match stream.read(&mut chunk) {
            Ok(0) if until_end && length.is_none() => break,
            Ok(0) => return Err(bad("connection ended within the body")),
            Ok(count) => body.extend(&chunk[..count]),
            // A peer that does not close TLS properly has sent all the same.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && length.is_none() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(body)
}

/// The next request of a connection; None at its end.
pub fn read_request(stream: &mut impl Read) -> io::Result<Option<Request>> {
    let Some((head, rest)) = read_head(stream)? else { return Ok(None) };
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(&head).map_err(|error| bad(&error.to_string()))?;
    let target = parsed.path.unwrap_or("/").to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let headers = header_map(parsed.headers);
    let body = read_body(stream, rest, &headers, false)?;
    Ok(Some(Request {
        method: parsed.method.unwrap_or("GET").to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
    }))
}

/// An answer as a client gets it: status, reason, body.
pub fn read_answer(stream: &mut impl Read) -> io::Result<(u16, String, Vec<u8>)> {
    let (head, rest) = read_head(stream)?.ok_or_else(|| bad("no answer"))?;
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    parsed.parse(&head).map_err(|error| bad(&error.to_string()))?;
    let (status, reason) = (parsed.code.unwrap_or(500), parsed.reason.unwrap_or_default().to_owned());
    let headers = header_map(parsed.headers);
    let body = read_body(stream, rest, &headers, true)?;
    Ok((status, reason, body))
}

impl Answer {
    /// Writes the answer with the headers that PVE sends, in its order.
    pub fn write(&self, stream: &mut impl Write, date: &str, keep_alive: bool) -> io::Result<()> {
        let connection = if keep_alive { "Keep-Alive" } else { "close" };
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nCache-Control: max-age=0\r\nConnection: {connection}\r\nDate: {date}\r\nPragma: no-cache\r\nServer: pve-api-daemon/3.0\r\n",
            self.status, self.reason
        );
        // A refusal of authentication has neither body nor length.
        if self.content_type.is_some() || !self.body.is_empty() || keep_alive {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        if let Some(kind) = self.content_type {
            head.push_str(&format!("Content-Type: {kind}\r\n"));
        }
        head.push_str(&format!("Expires: {date}\r\n\r\n"));
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body)?;
        stream.flush()
    }
}

/// `Sun, 22 Nov 2026 14:53:18 GMT` (RFC 9110) from seconds since 1970.
pub fn http_date(epoch: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = epoch / 86400;
    // Civil date from days: years of 400, counted from 1 March of year 0.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let time = epoch % 86400;
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[(month - 1) as usize],
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_as_http_has_them() {
        assert_eq!(http_date(1_795_359_198), "Sun, 22 Nov 2026 14:53:18 GMT");
        assert_eq!(http_date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
    }

    #[test]
    fn a_form_is_decoded() {
        let request =
            Request { body: b"username=root%40pam&password=a+b%2Bc".to_vec(), ..Request::default() };
        let params = request.params();
        assert_eq!(params["username"], "root@pam");
        assert_eq!(params["password"], "a b+c");
    }
}
