//! Credentials that were written into the description of a gateway, where everybody reads them.

use serde_json::Value;
use url::form_urlencoded;

/// What to do about one.
const ELSEWHERE: &str = "this looks like a credential, and credentials do not belong in a configuration. Put {token}, \
     {username} or {password} in its place, and set HTTP_GATEWAY_TOKEN, HTTP_GATEWAY_USERNAME or \
     HTTP_GATEWAY_PASSWORD in the environment or .env";

/// Names of fields and headers whose value is a credential, without what is no letter.
const NAMES: [&str; 9] =
    ["authorization", "cookie", "password", "passwd", "pass", "pwd", "secret", "apikey", "token"];

/// The problem with a value that should be a placeholder, by the name of its field.
pub fn plain_secret(name: &str, value: &str) -> Option<&'static str> {
    let name: String =
        name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    let named = NAMES.iter().any(|secret| name.ends_with(secret)) || name.ends_with("accesskey");
    (named && !value.is_empty() && !value.contains('{')).then_some(ELSEWHERE)
}

/// The same for user name, password and query of a URL, which may have placeholders.
pub fn secret_in_url(url: &str) -> Option<&'static str> {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next());
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Some(
            "a user name or password in a URL is not sent. Use a header such as Authorization with {username} \
                     and {password}",
        );
    }
    let query = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).find_map(|(name, value)| plain_secret(&name, &value))
}

/// The same for every text of a JSON body, with its path.
pub fn secrets_in(json: &Value, path: &str) -> Vec<(String, &'static str)> {
    match json {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| {
                let path = format!("{path}.{name}");
                let text = super::super::object::json_text(value);
                match text.and_then(|text| plain_secret(name, &text)) {
                    Some(problem) => vec![(path, problem)],
                    None => secrets_in(value, &path),
                }
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| secrets_in(item, path)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_known_by_the_name_of_its_field() {
        for name in ["Authorization", "X-Api-Key", "api_key", "auth-token", "userPassword", "pwd", "Cookie"] {
            assert!(plain_secret(name, "hunter2").is_some(), "{name}");
            assert!(plain_secret(name, "Bearer {token}").is_none(), "{name}");
            assert!(plain_secret(name, "").is_none(), "{name}");
        }
        for name in ["Accept", "to", "text", "user", "X-Keyboard"] {
            assert!(plain_secret(name, "hunter2").is_none(), "{name}");
        }
    }

    #[test]
    fn a_credential_is_found_wherever_it_is() {
        let json = serde_json::json!({"a": [{"password": "hunter2"}], "secret": 5, "token": "{token}"});
        let paths: Vec<String> = secrets_in(&json, "json").into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["json.a.password", "json.secret"]);
        for (url, secret) in [
            ("https://me:hunter2@x", true),
            ("https://me@x", true),
            ("https://x?password=hunter2", true),
            ("https://x?password={password}&to={to}", false),
            ("https://x?to=5", false),
        ] {
            assert_eq!(secret_in_url(url).is_some(), secret, "{url}");
        }
    }
}
