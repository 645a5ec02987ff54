//! The words of a call, as a person on the telephone hears them.

use super::super::xml::Element;

/// The instructions of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Twiml {
    /// Every text that is read out without a key being pressed, in order; one that is said twice is
    /// here twice.
    pub spoken: Vec<String>,
    /// Where a key that is pressed is posted to.
    pub on_key: Option<String>,
}

impl Twiml {
    /// Reads instructions. The error says what is wrong with them.
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

    /// Everything that is said.
    pub fn speech(&self) -> String {
        self.spoken.join(" ")
    }

    /// The code that is read out, if one is: digits that nothing but full stops, commas and spaces
    /// set apart.
    pub fn code(&self) -> Option<String> {
        let speech = self.speech();
        let runs = speech.split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | ' ')));
        let digits = runs.map(|run| run.chars().filter(char::is_ascii_digit).collect::<String>());
        digits.into_iter().find(|run| run.len() >= 4)
    }
}

/// A code as it is read one by one.
pub fn one_by_one(code: &str) -> String {
    code.chars().map(String::from).collect::<Vec<_>>().join(". ")
}
