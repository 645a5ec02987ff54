//! What a text must have, and how long it may become.

use std::sync::Arc;
use std::time::Duration;

use super::text::Text;
use super::{LONGEST, webotp};
use crate::domain::{Channel, CodeLength};

/// What texts are checked with.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    /// What `{brand}` stands for.
    pub(super) brand: Arc<str>,
    /// The web site that text messages name in their last line.
    pub(super) domain: Option<Arc<str>>,
    /// The longest life of a code, for `{minutes}`.
    pub(super) life: Duration,
}

/// The control characters that texts may be laid out with.
const WHITE_SPACE: [char; 3] = ['\t', '\n', '\r'];

/// Reads a text: it has a place for the code, no placeholder that nobody fills, nothing behind the line
/// for browsers, and is not too long once the longest code is in it. The error says what to mend.
pub(super) fn text(written: &str, around: &Surroundings) -> Result<Text, String> {
    if let Some(c) = written.chars().find(|c| c.is_control() && !WHITE_SPACE.contains(c)) {
        return Err(format!("it contains the control character {c:?}, which has no place in a message"));
    }
    let Some(split) = webotp::split(written) else {
        return Err("the line for browsers, \"@domain #{code}\", must be the last one".to_owned());
    };
    if let Some(own) = split.domain {
        webotp::check_domain(own).map_err(|words| format!("its last line names {own:?}: {words}"))?;
        if let Some(domain) = around.domain.as_deref().filter(|domain| *domain != own) {
            return Err(format!(
                "its last line is for the web site {own:?}, and webotp-domain says {domain:?}. Remove the line, or \
                 the setting"
            ));
        }
    }
    let mut strange = None;
    let text = Text::new(written, &around.brand, around.domain.as_ref(), |between| {
        strange = strange.take().or_else(|| unfilled(between));
    });
    if let Some(words) = strange {
        return Err(words);
    }
    if !text.has_a_place_for_the_code() {
        return Err("it must contain {code} (or _CODE_), the place where the code goes".to_owned());
    }
    let longest_code = "0".repeat(usize::from(CodeLength::MAX));
    let length = text.finish(Channel::Sms, None, &longest_code, around.life).chars().count();
    if length > LONGEST {
        return Err(format!(
            "it has {length} characters once the brand and a code of {} digits are in it, and a message may have \
             at most {LONGEST}",
            CodeLength::MAX
        ));
    }
    Ok(text)
}

/// What is wrong with text between placeholders: it begins one that there is not.
fn unfilled(between: &str) -> Option<String> {
    let (_, after) = between.split_once('{')?;
    Some(match after.split_once('}') {
        None => "it has a \"{\" without a \"}\"".to_owned(),
        Some((name, _)) => format!(
            "it contains {:?}, which nothing fills. It may contain {{code}} (or _CODE_), {{brand}} and {{minutes}}",
            format!("{{{name}}}")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, brand: &str) -> Result<String, String> {
        with_domain(written, brand, None)
    }

    fn with_domain(written: &str, brand: &str, domain: Option<&str>) -> Result<String, String> {
        let around = Surroundings {
            brand: brand.into(),
            domain: domain.map(Into::into),
            life: Duration::from_secs(600),
        };
        text(written, &around).map(|text| text.finish(Channel::Sms, None, "1234", around.life))
    }

    #[track_caller]
    fn is_refused(written: &str, words: &str) {
        let refused = check(written, "Acme");
        assert!(refused.as_ref().is_err_and(|e| e.contains(words)), "{written:?}: {refused:?}");
    }

    #[test]
    fn the_brand_and_the_minutes_are_put_in() {
        let text = check("Hello from {brand}! Your code is: {code}, for {minutes} minutes", "Acme");
        assert_eq!(text.as_deref(), Ok("Hello from Acme! Your code is: 1234, for 10 minutes"));
        assert_eq!(check("_CODE_ ({brand})", "Acme").as_deref(), Ok("1234 (Acme)"));
    }

    #[test]
    fn a_text_without_a_place_for_the_code_is_refused() {
        for text in ["", "hello", "{brand}", "code", "_code_", "CODE", "Hello\n@example.com #{code}"] {
            is_refused(text, "must contain {code}");
        }
    }

    #[test]
    fn a_placeholder_that_nothing_fills_is_refused_by_name() {
        for (text, name) in [("{code} {hours}", "{hours}"), ("{Code}", "{Code}"), ("{code} {}", "{}")] {
            is_refused(text, name);
        }
        for text in ["{code} {", "{{code}}", "{code"] {
            is_refused(text, "without");
        }
    }

    #[test]
    fn a_control_character_is_refused_by_name_and_white_space_is_not() {
        for (text, name) in
            [("{code}\0", "'\\0'"), ("\u{1b}{code}", "'\\u{1b}'"), ("{code}\u{85}", "'\\u{85}'")]
        {
            is_refused(text, &format!("control character {name}"));
        }
        assert!(check("Code:\r\n\t{code}", "").is_ok());
    }

    #[test]
    fn the_length_counts_with_everything_in_it() {
        let filler = |characters| format!("{}{{code}}", "ü".repeat(characters));
        assert!(check(&filler(LONGEST - 10), "").is_ok());
        assert!(check(&filler(LONGEST - 9), "").is_err_and(|e| e.contains("1601 characters")));
        assert!(check(&format!("{{brand}}{}", filler(LONGEST - 13)), "Acme").is_err());
        assert!(check(&format!("{{minutes}}{}", filler(LONGEST - 11)), "").is_err());
        let line = "\n\n@b.example #".len() + 10;
        assert!(with_domain(&filler(LONGEST - 10 - line), "", Some("b.example")).is_ok());
        assert!(with_domain(&filler(LONGEST - 9 - line), "", Some("b.example")).is_err());
    }

    #[test]
    fn the_line_for_browsers_is_the_last_and_names_one_site() {
        is_refused("{code}\n@example.com #{code}\nBye", "must be the last");
        is_refused("{code}\n@https://example.com #{code}", "must be a host name");
        let text = "{code}\n@example.com #{code}";
        assert_eq!(with_domain(text, "", Some("example.com")).as_deref(), Ok("1234\n\n@example.com #1234"));
        let refused = with_domain(text, "", Some("other.example"));
        assert!(refused.as_ref().is_err_and(|e| e.contains("\"other.example\"")), "{refused:?}");
    }
}
