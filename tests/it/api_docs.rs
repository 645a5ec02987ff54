//! Executes every example of `docs/reference/otp-api.md` and `docs/reference/verify-api.md` with curl, in its order,
//! against a real server, which must answer as the document says.
//!
//! Ids, codes and secrets in a document are samples. The first answer that has a sample defines its value in this run;
//! later commands and answers must use that value. A code that no answer has shown is the code of the newest message.
//!
//! `"...": "more"` stands for members that the document leaves to `/docs`; `tests/sdk/fields` compares all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::quickstart::shell;
use crate::support::prelude::*;

/// Stands for the members that the document omits.
const OMITTED: &str = "...";

/// The server's address in the documents.
const ADDRESS: &str = "http://localhost:3000";

/// The code of the newest message, in documents that do not read the inbox.
const SAMPLE_CODE: &str = r#""123456""#;

#[tokio::test]
async fn every_example_of_the_compatible_routes_is_answered_as_it_says() {
    is_answered_as_it_says("otp-api.md").await;
}

#[tokio::test]
async fn every_example_of_twilios_routes_is_answered_as_it_says() {
    is_answered_as_it_says("verify-api.md").await;
}

/// Of a document with commands in blocks of `sh`, and their answers in blocks of `http`.
async fn is_answered_as_it_says(document: &str) {
    let path = format!("{}/docs/reference/{document}", env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(&path).expect("the document");
    let (mut assignments, mut run, mut line) = (String::new(), None::<Run>, 1);
    for (place, block) in document.split("```").enumerate() {
        let at = format!("{path}:{line}");
        line += block.matches('\n').count();
        if place % 2 == 0 {
            continue;
        }
        let (language, text) = block.split_once('\n').expect("a block has lines");
        let text = text.trim_end();
        match language {
            "sh" if !text.contains("curl ") => assignments = assignments + "\n" + text,
            "sh" => {
                if run.is_none() {
                    run = Some(Run::start(&assignments).await);
                }
                let script = format!("{assignments}\n{text}");
                run.as_mut().expect("it has begun").asks(&at, &script).await;
            }
            "http" => run.as_mut().expect("a command before the first answer").compares(&at, text),
            // The answer depends on more than the request: the document only shows it.
            "json" => run.iter_mut().for_each(|run| run.answer = None),
            other => panic!("{at}: a block of {other:?}"),
        }
    }
    assert!(run.is_some_and(|run| run.answer.is_none()), "{path}: the last example has no answer");
}

struct Run {
    server: Server,
    /// The values that the samples stand for.
    real: BTreeMap<String, String>,
    /// The answer to compare next: its head, and its body.
    answer: Option<(String, String)>,
}

impl Run {
    async fn start(assignments: &str) -> Self {
        let mut setup = Setup::new();
        let credentials = assignments.lines().find_map(|line| line.strip_prefix("AUTH="));
        if let Some((account, token)) = credentials.and_then(|both| both.split_once(':')) {
            setup = setup.env("ONCEWARD_ACCOUNT_SID", account).env("ONCEWARD_AUTH_TOKEN", token);
        }
        Self { server: setup.start().await, real: BTreeMap::new(), answer: None }
    }

    async fn asks(&mut self, at: &str, script: &str) {
        assert!(self.answer.is_none(), "{at}: the example before this one has no answer");
        if script.contains(SAMPLE_CODE) {
            let inbox = self.server.client.get("/inbox/messages").await.json();
            let code = inbox["messages"][0]["code"].as_str().expect("a message");
            self.real.insert(SAMPLE_CODE.to_owned(), format!("{code:?}"));
        }
        let script = self.in_this_run(script).replace(ADDRESS, &self.address());
        let said =
            shell(format!("curl() {{ command curl -i \"$@\"; }}\n{script}"), Path::new("."), &[]).await;
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{at}: {said}"));
        self.answer = Some((head.to_lowercase(), body.to_owned()));
    }

    fn address(&self) -> String {
        format!("http://{}", self.server.client.address())
    }

    fn compares(&mut self, at: &str, documented: &str) {
        let (answered, text) = self.answer.take().expect("a command before each answer");
        let (head, body) = documented.split_once("\n\n").unwrap_or((documented, ""));
        let at = format!("{at}: the server says {answered}\n{text}");
        let status = |head: &str| head.split_whitespace().nth(1).map(str::to_owned);
        assert_eq!(status(&answered), status(head), "{at}");
        for header in ["retry-after", "x-onceward-retry-after", "www-authenticate"] {
            let names = |head: &str| head.to_lowercase().contains(&format!("\n{header}:"));
            assert_eq!(names(head), names(&answered), "{header}; {at}");
        }
        if body.is_empty() {
            assert_eq!(text, "", "{at}");
            return;
        }
        let (mut documented, mut real) = (parsed(body), parsed(&text));
        if let Some(shown) = documented.as_object_mut().filter(|shown| shown.contains_key(OMITTED)) {
            shown.remove(OMITTED);
            real.as_object_mut().expect("an object").retain(|name, _| shown.contains_key(name));
        }
        let (documented, real) = (documented.to_string(), real.to_string());
        self.learn(&documented, &real);
        let real = real.replace(&self.address(), ADDRESS);
        assert_eq!(blurred(&self.in_this_run(&documented)), blurred(&real), "{at}");
    }

    /// Records the values of this answer's samples: ids, and the texts of members `code`.
    fn learn(&mut self, documented: &str, real: &str) {
        let texts: Vec<_> = documented.split('"').zip(real.split('"')).collect();
        for parts in texts.windows(3) {
            let &[(name, _), (colon, _), (sample, real)] = parts else { continue };
            let is_same_kind = is_id(sample) && is_id(real) && sample[..2] == real[..2];
            if is_same_kind || (name, colon) == ("code", ":") {
                self.real.entry(sample.to_owned()).or_insert_with(|| real.to_owned());
            }
        }
    }

    fn in_this_run(&self, text: &str) -> String {
        self.real.iter().fold(text.to_owned(), |text, (sample, real)| text.replace(sample, real))
    }
}

/// Hides the times, secrets and message ids of this run.
fn blurred(json: &str) -> Value {
    let blurred = |word: &str| {
        let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        if shape.trim_end_matches('.') == "0000-00-00T00:00:00Z" {
            shape
        } else if word.starts_with(':') && shape.contains("0000000000000") {
            // Milliseconds since 1970.
            shape.replace("0000000000000", "0")
        } else if word.starts_with("whsec_") || is_id(word) && word.starts_with("SM") {
            word[..2].to_owned()
        } else {
            word.to_owned()
        }
    };
    let words = json.split_inclusive(['"', ' ']).map(|word| {
        let end = if word.ends_with(['"', ' ']) { word.len() - 1 } else { word.len() };
        blurred(&word[..end]) + &word[end..]
    });
    parsed(&words.collect::<String>())
}

fn is_id(text: &str) -> bool {
    text.len() == 34
        && text.bytes().take(2).all(|byte| byte.is_ascii_uppercase())
        && text.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit())
}
