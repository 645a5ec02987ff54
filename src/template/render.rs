//! From a template and a code to the text of a message.

use super::CODE_PLACES;
use crate::domain::Code;

/// Puts the code in every place that the template has for it.
pub(super) fn render(template: &str, code: &Code) -> String {
    let mut text = String::with_capacity(template.len() + code.expose().len());
    let mut rest = template;
    while let Some((at, placeholder)) =
        CODE_PLACES.iter().filter_map(|p| rest.find(p).map(|at| (at, p))).min_by_key(|(at, _)| *at)
    {
        text.push_str(&rest[..at]);
        text.push_str(code.expose());
        rest = &rest[at + placeholder.len()..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_goes_where_the_template_says() {
        let code = Code::parse("012345").expect("a code");
        for (template, text) in [
            ("OTP message is {code}", "OTP message is 012345"),
            ("OTP message is _CODE_", "OTP message is 012345"),
            ("{code}", "012345"),
            ("_CODE_ or {code}: {code}", "012345 or 012345: 012345"),
            ("数字 {code} für dich", "数字 012345 für dich"),
            ("{code", "{code"),
            ("{Code} _code_ {{code}}", "{Code} _code_ {012345}"),
            ("_CODE_CODE_", "012345CODE_"),
            ("no place", "no place"),
            ("", ""),
        ] {
            assert_eq!(render(template, &code), text, "{template:?}");
        }
    }
}
