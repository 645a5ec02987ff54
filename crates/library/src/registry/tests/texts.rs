//! The text of a message.

use std::collections::BTreeMap;

use super::*;
use crate::domain::Channel;
use crate::registry::TextOptions;
use crate::template::Wording;

/// A row of `texts.jsonl` has texts of the template "login", settings of the service "Shop" (without them it is the default
/// service), requests, and the text that each leads to: or the beginning of an error. `<80>` stands for 80 letters.
#[tokio::test]
async fn each_request_leads_to_its_text() {
    for row in include_str!("texts.jsonl").lines() {
        let long = |row: String, letters| row.replace(&format!("<{letters}>"), &"x".repeat(letters));
        let row = [80, 128, 129, 1_500].into_iter().fold(row.to_owned(), long);
        let row: Value = serde_json::from_str(&row).expect("JSON");
        let texts =
            if row["template"].is_null() { json!({ "en": "{code}" }) } else { row["template"].clone() };
        let template: Template =
            serde_json::from_value(json!({ "default-locale": "en", "translations": texts }))
                .expect("a template");
        let login = |settings: &mut Settings| settings.registry.templates.push(template.named("login"));
        let registry = World::set_up(login).await.registry.clone();
        let service = match row["service"].as_object() {
            Some(settings) => {
                let fields = named("Shop").into_iter().chain(settings.clone()).collect();
                registry.create_service(fields).await.expect("a service")
            }
            None => registry.default_service(),
        };
        let expected = row["text"].as_str().expect("a text");
        for request in row["ask"].as_array().expect("requests") {
            let (said, language) = answer(&registry, &service, request);
            let is_it =
                if expected.starts_with("refused: ") { said.starts_with(expected) } else { said == expected };
            assert!(is_it, "{}: {request}: {said}", row["is"]);
            assert!(row["spoken"].as_str().is_none_or(|spoken| spoken == language), "{row}: {language}");
        }
    }
}

/// The text or the error, and the language in which calls are spoken.
fn answer(registry: &Registry, service: &Service, request: &Value) -> (String, String) {
    let template = request["template"].as_str().map(template_sid);
    let values = request["values"].as_object().cloned().unwrap_or_default();
    let text = |value: Value| value.as_str().expect("a text").to_owned();
    let substitutions: BTreeMap<_, _> = values.into_iter().map(|(name, value)| (name, text(value))).collect();
    let options = TextOptions {
        template: template.as_ref(),
        substitutions: &substitutions,
        friendly_name: request["name"].as_str(),
        locale: request["locale"].as_str().map(|tag| Locale::parse(tag).expect("a language")),
        channel: if request["channel"] == "call" { Channel::Call } else { Channel::Sms },
        to: number(request["to"].as_str().unwrap_or("+14155550123")),
    };
    match registry.text(service, &options) {
        Ok((Wording::Custom(text), locale)) => {
            let language = locale.map(|locale| locale.language().to_string());
            (text.to_string(), language.unwrap_or_default())
        }
        Ok((Wording::Api, _)) => ("that of the settings".to_owned(), String::new()),
        Ok((other, _)) => panic!("{other:?}"),
        Err(error) => (format!("refused: {error}"), String::new()),
    }
}
