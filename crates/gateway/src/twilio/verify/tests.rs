//! The languages of calls and of Twilio Verify.

use super::*;
use crate::template::StandardMessage;
use crate::twilio::twiml::spoken;

#[test]
fn twilio_is_told_the_nearest_language_that_it_has() {
    for line in include_str!("../languages.tsv").lines().filter(|line| !line.starts_with('#')) {
        let (tag, expected) = line.split_once('\t').expect("a language");
        let locale = Locale::parse(tag).expect("a language");
        let [text, call] = [Channel::Sms, Channel::Call].map(|channel| of_verify(locale, channel));
        assert_eq!(
            [spoken(locale), text, call].map(|found| found.unwrap_or("-")).join("\t"),
            expected,
            "{tag}"
        );
    }
    for message in StandardMessage::all() {
        assert!(of_verify(message.locale, Channel::Sms).is_some(), "{}", message.locale);
    }
}
