//! The last line by which a browser knows the web site that a code is for: `@example.com #123456`
//! (WICG, "Origin-bound one-time codes delivered via SMS").

use url::Host;

use super::CODE_PLACES;

/// Why a text is not a host name, as the end of a sentence; `Ok` when it is one as the line must spell
/// it.
pub(super) fn check_domain(domain: &str) -> Result<(), String> {
    let name = match Host::parse(domain) {
        Ok(Host::Domain(name)) => name,
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => {
            return Err("it must be a host name such as example.com, not an address".to_owned());
        }
        Err(_) => String::new(),
    };
    let is_host_name = name.len() <= 253 && name.split('.').all(is_label);
    if !is_host_name {
        return Err("it must be a host name such as example.com, without https://, port and path".to_owned());
    }
    if name != domain {
        return Err(format!("browsers spell this host name {name:?}; write it like that"));
    }
    Ok(())
}

/// A label of a host name (RFC 1123, section 2.1).
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A text without the line that its author wrote into it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split<'a> {
    /// The rest.
    pub(super) text: &'a str,
    /// The domain that the last line names, if that is such a line.
    pub(super) domain: Option<&'a str>,
}

/// Takes such a line off the end of a text. `None` when there is one that is not the last.
pub(super) fn split(text: &str) -> Option<Split<'_>> {
    let trimmed = text.trim_end();
    let (before, last) = trimmed.rsplit_once('\n').unwrap_or(("", trimmed));
    if before.lines().any(|line| domain_of(line).is_some()) {
        return None;
    }
    Some(match domain_of(last) {
        Some(domain) => Split { text: before.trim_end(), domain: Some(domain) },
        None => Split { text, domain: None },
    })
}

/// The domain of a line such as `@example.com #{code}`.
fn domain_of(line: &str) -> Option<&str> {
    let (domain, code) = line.trim().strip_prefix('@')?.split_once(" #")?;
    CODE_PLACES.iter().any(|place| code.starts_with(place)).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_host_name_as_browsers_spell_it() {
        for domain in
            ["example.com", "login.example.co.uk", "localhost", "xn--bcher-kva.example", "a-b.example"]
        {
            assert_eq!(check_domain(domain), Ok(()), "{domain}");
        }
        for (domain, words) in [
            ("", "must be a host name"),
            ("https://example.com", "without https://"),
            ("example.com:443", "without"),
            ("example.com/login", "without"),
            ("exa mple.com", "without"),
            ("ex_ample.com", "without"),
            ("-a.example", "without"),
            ("example.com.", "without"),
            ("@example.com", "without"),
            ("127.0.0.1", "not an address"),
            ("[::1]", "not an address"),
            ("Example.com", "\"example.com\""),
            ("bücher.example", "\"xn--bcher-kva.example\""),
        ] {
            assert!(check_domain(domain).is_err_and(|e| e.contains(words)), "{domain}");
        }
        assert!(check_domain(&format!("{}.example", "a".repeat(64))).is_err());
        assert!(check_domain(&"a.".repeat(127)).is_err());
    }

    #[test]
    fn a_line_that_is_written_by_hand_is_found() {
        let with = |text, domain| Some(Split { text, domain: Some(domain) });
        assert_eq!(split("Code {code}\n\n@example.com #{code}"), with("Code {code}", "example.com"));
        assert_eq!(split("Code {code}\n@example.com #_CODE_\n"), with("Code {code}", "example.com"));
        assert_eq!(split("@example.com #{code}"), with("", "example.com"));
        for text in
            ["Code {code}", "Code {code} @example.com #{code}", "@example.com {code}", "a\n@b #1 {code}\n"]
        {
            assert_eq!(split(text), Some(Split { text, domain: None }), "{text:?}");
        }
        assert_eq!(split("Code\n@example.com #{code}\nBye"), None);
    }
}
