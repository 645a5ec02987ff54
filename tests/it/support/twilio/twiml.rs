//! The text of a call, as a person on the phone hears it.

use super::super::xml::Element;

/// The instructions of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Twiml {
    /// Every text that is read out before a key is pressed, in order; a repeated text is listed twice.
    pub spoken: Vec<String>,
    /// The URL that receives a pressed key.
    pub on_key: Option<String>,
}

impl Twiml {
    /// Parses instructions. The error says what is wrong.
    pub fn parse(document: &str) -> Result<Self, String> {
        let root = Element::parse(document)?;
        if root.name != "Response" || !root.namespace.is_empty() {
            return Err(format!("the root is {} and not Response", root.name));
        }
        let mut twiml = Self::default();
        twiml.follow(&root)?;
        Ok(twiml)
    }

    fn follow(&mut self, element: &Element) -> Result<(), String> {
        for verb in element.elements() {
            match verb.name.as_str() {
                "Say" => {
                    let times =
                        verb.attribute("loop").unwrap_or("1").parse().map_err(|_| "loop is a number")?;
                    self.spoken.extend(std::iter::repeat_n(verb.text(), times));
                }
                "Gather" => {
                    if verb.attribute("numDigits") != Some("1") {
                        return Err("one key is to be pressed".to_owned());
                    }
                    self.on_key = verb.attribute("action").map(str::to_owned);
                    self.follow(verb)?;
                }
                "Pause" | "Hangup" | "Redirect" => {}
                other => return Err(format!("{other} is not expected in such a call")),
            }
        }
        Ok(())
    }

    pub fn speech(&self) -> String {
        self.spoken.join(" ")
    }

    /// The spoken code, if any: digits with only full stops, commas and spaces between them.
    pub fn code(&self) -> Option<String> {
        let speech = self.speech();
        let runs = speech.split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | ' ')));
        let digits = runs.map(|run| run.chars().filter(char::is_ascii_digit).collect::<String>());
        digits.into_iter().find(|run| run.len() >= 4)
    }
}

/// A code as it is read out, digit by digit.
pub fn one_by_one(code: &str) -> String {
    code.chars().map(String::from).collect::<Vec<_>>().join(". ")
}
