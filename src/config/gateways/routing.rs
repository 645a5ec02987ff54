//! The setting `otp-sms-provider`: its spelling, and what a name in it stands for.

use std::ops::Range;

use crate::domain::{GatewayName, Routing, RoutingEntry};

/// A name that the setting may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderName {
    /// Messages when there is a sender, else Verify.
    Twilio,
    /// This one.
    Gateway(GatewayName),
}

impl ProviderName {
    fn parse(text: &str) -> Option<Self> {
        if text == "Twilio" {
            return Some(Self::Twilio);
        }
        let by_name = |name: &GatewayName| name.as_str() == text;
        GatewayName::ALL.into_iter().find(by_name).map(Self::Gateway)
    }
}

/// Reads the setting. The error prints it with a mark under the part that is wrong. `resolve` says
/// which gateway a name stands for, or why it cannot be used.
pub fn read(
    text: &str,
    resolve: impl Fn(ProviderName) -> Result<GatewayName, String>,
) -> Result<Routing, String> {
    let mut entries: Vec<RoutingEntry> = Vec::new();
    for (start, part) in parts(text, ';') {
        let (name, prefixes) = part.split_once(':').unwrap_or((part, ""));
        let place = place(start, name);
        let wrong = |problem: String| pointing(text, place.clone(), &problem);
        let provider = ProviderName::parse(name.trim()).ok_or_else(|| wrong(unknown(name.trim())))?;
        let gateway = resolve(provider).map_err(&wrong)?;
        if entries.iter().any(|entry| entry.gateway == gateway) {
            return Err(wrong(format!("{gateway} is here for the second time")));
        }
        let mut entry = RoutingEntry { gateway, prefixes: Vec::new() };
        if part.contains(':') {
            for (offset, prefix) in parts(prefixes, ',') {
                let at = start + name.len() + 1 + offset;
                let digits = digits(prefix.trim()).ok_or_else(|| {
                    let problem = "a prefix is + and 1 to 15 digits, such as +35987";
                    pointing(text, self::place(at, prefix), problem)
                })?;
                entry.prefixes.push(digits);
            }
        }
        entries.push(entry);
    }
    Ok(Routing::new(entries))
}

/// The pieces between separators, each with its place in bytes.
fn parts(text: &str, separator: char) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split(separator).map(move |part| {
        let at = start;
        start += part.len() + separator.len_utf8();
        (at, part)
    })
}

/// Where a piece stands without the white space around it.
fn place(start: usize, piece: &str) -> Range<usize> {
    let at = start + piece.len() - piece.trim_start().len();
    at..at + piece.trim().len()
}

fn digits(prefix: &str) -> Option<String> {
    let digits = prefix.strip_prefix('+').unwrap_or_default();
    let fits = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| digits.to_owned())
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = GatewayName::ALL.iter().map(|name| name.as_str()).collect();
    let known = format!("known are Twilio, {}", names.join(", "));
    if name.is_empty() {
        format!("a name is missing; {known}")
    } else {
        format!("no gateway has this name; {known}")
    }
}

fn pointing(text: &str, place: Range<usize>, problem: &str) -> String {
    let before = text[..place.start].chars().count();
    let width = text[place].chars().count().max(1);
    // On one line, or the mark would stand under another one.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{problem}\n      {text}\n      {:before$}{:^<width$}", "", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(provider: ProviderName) -> Result<GatewayName, String> {
        match provider {
            ProviderName::Twilio => Ok(GatewayName::TwilioMessages),
            ProviderName::Gateway(GatewayName::Http) => Err("it is not there".to_owned()),
            ProviderName::Gateway(name) => Ok(name),
        }
    }

    #[test]
    fn names_and_prefixes_are_read_in_their_order() {
        let routing = read(" Twilio ; Mada:+35987, +35988;Sinch", any).expect("a routing");
        let entries: Vec<_> = routing.entries().iter().map(|e| (e.gateway, e.prefixes.join(","))).collect();
        let expected = [
            (GatewayName::TwilioMessages, String::new()),
            (GatewayName::Mada, "35987,35988".to_owned()),
            (GatewayName::Sinch, String::new()),
        ];
        assert_eq!(entries, expected);
    }

    #[test]
    fn the_error_points_at_the_part() {
        for (text, mark, problem) in [
            ("Twilio;Foo;Sinch", "             ^^^", "no gateway has this name"),
            ("Twilio;;Sinch", "             ^", "a name is missing"),
            ("Twilio; TwilioMessages", "              ^^^^^^^^^^^^^^", "second time"),
            ("Sinch:+359,+x", "                 ^^", "a prefix is"),
            ("Sinch:", "            ^", "a prefix is"),
            ("Http", "      ^^^^", "it is not there"),
        ] {
            let error = read(text, any).expect_err(text);
            assert!(error.contains(problem), "{error}");
            assert!(error.ends_with(&format!("\n      {text}\n{mark}")), "{error}");
        }
    }
}
