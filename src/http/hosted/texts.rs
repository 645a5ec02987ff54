//! The texts of the hosted page, in each language of the standard message.

use std::sync::LazyLock;

use crate::domain::Locale;

/// Declares the texts in the order in which a line of `languages.txt` has them.
macro_rules! texts {
    ($($name:ident)+) => {
        /// Texts in one language.
        pub struct Texts {
            pub tag: &'static str,
            pub locale: Locale,
            $(pub $name: &'static str,)+
        }

        impl Texts {
            fn read(line: &'static str) -> Option<Self> {
                let mut parts = line.split('|');
                let tag = parts.next()?;
                Some(Self { tag, locale: Locale::parse(tag)?, $($name: parts.next()?,)+ })
            }
        }
    };
}

texts! {
    title country number send code sent_to go_on change again wait call cancel bad_number cannot_send wrong_code none_left failed
    gone verified privacy terms cannot_return challenge try_later try_in last_sent
}

static ALL: LazyLock<Vec<Texts>> =
    LazyLock::new(|| include_str!("languages.txt").lines().filter_map(Texts::read).collect());

impl Texts {
    /// The nearest language to the first of these that has one, else English.
    pub fn choose(wanted: impl IntoIterator<Item = Locale>) -> &'static Self {
        let nearest =
            |locale: Locale| locale.lookup().find_map(|tag| ALL.iter().find(|texts| texts.locale == tag));
        let english = || ALL.iter().find(|texts| texts.locale == Locale::ENGLISH);
        #[expect(clippy::expect_used, reason = "a test finds English among them")]
        wanted.into_iter().find_map(nearest).or_else(english).expect("English")
    }

    /// The text [`Texts::sent_to`] before the number, the mark right behind it, and the rest.
    pub fn around_number(&self) -> (&'static str, &'static str, &'static str) {
        let (before, after) = self.sent_to.split_once("{}").unwrap_or((self.sent_to, ""));
        let (mark, rest) = after.split_at(after.find(' ').unwrap_or(after.len()));
        (before, mark, rest)
    }

    /// The direction of the script.
    pub fn direction(&self) -> &'static str {
        if matches!(self.tag, "ar" | "he") { "rtl" } else { "ltr" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::StandardMessage;

    #[test]
    fn the_page_has_every_text_in_each_language_of_the_standard_message() {
        let languages: Vec<_> = ALL.iter().map(|texts| texts.locale).collect();
        let standard: Vec<_> = StandardMessage::all().iter().map(|message| message.locale).collect();
        assert_eq!(languages, standard);
        for line in include_str!("languages.txt").lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<_> = line.split('|').collect();
            assert_eq!(parts.len(), 27, "{line}");
            for (index, text) in parts.iter().enumerate() {
                assert!(!text.is_empty(), "{line}");
                assert_eq!(text.contains("{}"), matches!(index, 6 | 10 | 25), "{line} {text}");
            }
        }
    }

    #[test]
    fn the_nearest_language_is_chosen_and_english_for_all_others() {
        let chosen = |tags: &[&str]| Texts::choose(tags.iter().filter_map(|tag| Locale::parse(tag))).tag;
        for (tags, tag) in [
            (&["de-AT"][..], "de"),
            (&["zh-TW"], "zh-Hant"),
            (&["nb"], "no"),
            (&["is", "sv"], "sv"),
            (&["is"], "en"),
            (&[], "en"),
        ] {
            assert_eq!(chosen(tags), tag, "{tags:?}");
        }
    }
}
