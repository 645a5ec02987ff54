//! Languages by the names that Twilio has for them.
//!
//! Twilio answers a language that it does not know with an error in place of the message, so only those of its lists
//! are ever named, and the nearest is taken: `de-AT` is read out as `de-DE`. Without a name Twilio decides by itself,
//! and the code still arrives.

use crate::domain::Locale;

/// Languages of `<Say>`, with the question of the gate in each. The first one of a language stands for its regions
/// that are not listed.
///
/// Source: <https://www.twilio.com/docs/voice/twiml/say>, the languages that every account has.
const SPOKEN: &[(&str, &str)] = &[
    ("en-US", ENGLISH),
    ("en-GB", ENGLISH),
    ("en-AU", ENGLISH),
    ("en-CA", ENGLISH),
    ("en-IN", ENGLISH),
    ("ca-ES", "Premeu qualsevol tecla per escoltar el vostre codi."),
    ("da-DK", "Tryk på en vilkårlig tast for at høre din kode."),
    ("de-DE", "Drücken Sie eine beliebige Taste, um Ihren Code zu hören."),
    ("es-ES", "Pulse cualquier tecla para escuchar su código."),
    ("es-MX", "Presione cualquier tecla para escuchar su código."),
    ("fi-FI", "Paina mitä tahansa näppäintä kuullaksesi koodisi."),
    ("fr-FR", "Appuyez sur une touche pour entendre votre code."),
    ("fr-CA", "Appuyez sur une touche pour entendre votre code."),
    ("it-IT", "Prema un tasto qualsiasi per ascoltare il codice."),
    ("ja-JP", "コードを聞くには、いずれかのキーを押してください。"),
    ("ko-KR", "코드를 들으려면 아무 키나 누르세요."),
    ("nb-NO", "Trykk på en hvilken som helst tast for å høre koden din."),
    ("nl-NL", "Druk op een willekeurige toets om uw code te horen."),
    ("pl-PL", "Naciśnij dowolny klawisz, aby usłyszeć kod."),
    ("pt-PT", "Prima qualquer tecla para ouvir o seu código."),
    ("pt-BR", "Pressione qualquer tecla para ouvir o seu código."),
    ("ru-RU", "Нажмите любую клавишу, чтобы услышать код."),
    ("sv-SE", "Tryck på valfri knapp för att höra din kod."),
    ("zh-CN", "请按任意键收听验证码。"),
    ("zh-TW", "請按任意鍵收聽驗證碼。"),
    ("zh-HK", "請按任意鍵收聽驗證碼。"),
];

const ENGLISH: &str = "Press any key to hear your code.";

/// Languages of Verify's own texts.
///
/// Source: the parameter `Locale` in <https://www.twilio.com/docs/verify/api/verification>.
const VERIFY: &[&str] = &[
    "af", "ar", "ca", "cs", "da", "de", "el", "en", "en-GB", "es", "fi", "fr", "he", "hi", "hr", "hu", "id",
    "it", "ja", "ko", "ms", "nb", "nl", "pl", "pt", "pt-BR", "ro", "ru", "sv", "th", "tl", "tr", "vi", "zh",
    "zh-CN", "zh-HK",
];

/// The value of `<Say language="...">`, if calls can be held in the language.
pub(super) fn spoken(locale: Locale) -> Option<&'static str> {
    nearest(locale, SPOKEN.iter().map(|(tag, _)| *tag))
}

/// What a call asks before it reads a code out, and the language it asks in: English for a language that has no
/// voice.
pub(super) fn question(locale: Option<Locale>) -> (&'static str, &'static str) {
    let tag = locale.and_then(spoken).unwrap_or("en-US");
    let words = SPOKEN.iter().find(|(known, _)| *known == tag).map_or(ENGLISH, |(_, words)| words);
    (tag, words)
}

/// The value of Verify's `Locale`, if it has texts in the language.
pub(super) fn of_verify(locale: Locale) -> Option<&'static str> {
    nearest(locale, VERIFY.iter().copied())
}

/// The same language and region, else the first of the same language.
fn nearest(locale: Locale, mut known: impl Iterator<Item = &'static str> + Clone) -> Option<&'static str> {
    let full = locale.to_string();
    let mut subtags = full.split('-');
    let language = match subtags.next()? {
        // Norwegian is spoken of by its macrolanguage, and written in one of two forms.
        "no" => "nb",
        // Filipino is the standard form of Tagalog.
        "fil" => "tl",
        language => language,
    };
    // Four letters are a script, two letters or three digits a region.
    let (scripts, regions): (Vec<&str>, Vec<&str>) = subtags.partition(|subtag| subtag.len() == 4);
    let region = regions.first().copied().or(match (language, scripts.first()) {
        // The scripts of Chinese are told apart by regions in Twilio's lists.
        ("zh", Some(&"Hant")) => Some("TW"),
        _ => None,
    });
    let with_region = region.map(|region| format!("{language}-{region}"));
    let exact = known.clone().find(|tag| Some(*tag) == with_region.as_deref());
    if exact.is_some() || (language, region) == ("zh", Some("TW")) {
        // Traditional characters are not to be replaced by simplified ones.
        return exact;
    }
    known.find(|tag| tag.split('-').next() == Some(language))
}

#[cfg(test)]
mod tests;
