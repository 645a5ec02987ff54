//! What a text may contain, and how long it may become.

use super::{CODE_PLACES, LONGEST};
use crate::domain::CodeLength;

/// Puts the brand in and checks the rest: the text has a place for the code, no placeholder that
/// nobody fills, and is not too long once the longest code is in it. The error says what to mend.
pub(super) fn with_brand(text: &str, brand: &str) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len() + brand.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else {
            return Err("it has a \"{\" without a \"}\"".to_owned());
        };
        expanded.push_str(before);
        match name {
            "code" => expanded.push_str("{code}"),
            "brand" => expanded.push_str(brand),
            _ => {
                return Err(format!(
                    "it contains {:?}, which nothing fills. It may contain {{code}} (or _CODE_) and {{brand}}",
                    format!("{{{name}}}")
                ));
            }
        }
        rest = behind;
    }
    expanded.push_str(rest);
    check(expanded)
}

fn check(expanded: String) -> Result<String, String> {
    if !CODE_PLACES.iter().any(|place| expanded.contains(place)) {
        return Err("it must contain {code} (or _CODE_), the place where the code goes".to_owned());
    }
    let longest_code = "0".repeat(usize::from(CodeLength::MAX));
    let finished =
        CODE_PLACES.iter().fold(expanded.clone(), |text, place| text.replace(place, &longest_code));
    let length = finished.chars().count();
    if length > LONGEST {
        return Err(format!(
            "it has {length} characters once the brand and a code of {} digits are in it, and a message may have \
             at most {LONGEST}",
            CodeLength::MAX
        ));
    }
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brand_is_put_in_and_the_place_of_the_code_stays() {
        let text = with_brand("Hello from {brand}! Your verification code is: {code}", "Acme");
        assert_eq!(text.as_deref(), Ok("Hello from Acme! Your verification code is: {code}"));
        assert_eq!(with_brand("_CODE_ ({brand})", "Acme").as_deref(), Ok("_CODE_ (Acme)"));
    }

    #[test]
    fn a_text_without_a_place_for_the_code_is_refused() {
        for text in ["", "hello", "{brand}", "code", "_code_", "CODE"] {
            assert!(with_brand(text, "Acme").is_err_and(|e| e.contains("must contain {code}")), "{text:?}");
        }
    }

    #[test]
    fn a_placeholder_that_nothing_fills_is_refused_by_name() {
        for (text, name) in [("{code} {minutes}", "{minutes}"), ("{Code}", "{Code}"), ("{code} {}", "{}")] {
            assert!(with_brand(text, "Acme").is_err_and(|e| e.contains(name)), "{text:?}");
        }
        assert!(with_brand("{code} {", "Acme").is_err_and(|e| e.contains("without")));
    }

    #[test]
    fn the_length_counts_with_brand_and_the_longest_code() {
        let filler = |characters| format!("{}{{code}}", "ü".repeat(characters));
        assert!(with_brand(&filler(LONGEST - 10), "").is_ok());
        assert!(with_brand(&filler(LONGEST - 9), "").is_err_and(|e| e.contains("1601 characters")));
        assert!(with_brand(&format!("{{brand}}{}", filler(LONGEST - 13)), "Acme").is_err());
    }
}
