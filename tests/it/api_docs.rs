//! Executes every example of `docs/reference/otp-api.md` and `docs/reference/verify-api.md` with curl, in its order,
//! against a real server, which must answer as the document says.
//!
//! Ids, codes and secrets in a document are samples. The first answer that has a sample defines its value in this run;
//! later commands and answers must use that value. A code that no answer has shown is the code of the newest message.
//!
//! `"...": "more"` stands for members that the document leaves to `/docs`; `tests/sdk/fields` compares all.

use std::collections::BTreeMap;
use std::process::Command;

use crate::quickstart::tools_are_missing;
use crate::support::prelude::*;

const COMPATIBLE: Document =
    Document { path: "docs/reference/otp-api.md", text: include_str!("../../docs/reference/otp-api.md") };
const TWILIOS: Document = Document {
    path: "docs/reference/verify-api.md",
    text: include_str!("../../docs/reference/verify-api.md"),
};

/// Stands for the members that the document omits.
const OMITTED: &str = "...";

/// The server's address in the documents.
const ADDRESS: &str = "http://localhost:3000";

/// The code of the newest message, in documents that do not read the inbox.
const SAMPLE_CODE: &str = r#""123456""#;

#[tokio::test]
async fn every_example_of_the_compatible_routes_is_answered_as_it_says() {
    COMPATIBLE.is_true().await;
}

#[tokio::test]
async fn every_example_of_twilios_routes_is_answered_as_it_says() {
    TWILIOS.is_true().await;
}

/// A document with examples: commands in blocks of `sh`, their answers in blocks of `http`.
struct Document {
    path: &'static str,
    text: &'static str,
}

impl Document {
    async fn is_true(&self) {
        if tools_are_missing() {
            return;
        }
        let mut assignments = String::new();
        let mut run: Option<Run> = None;
        for Block { line, language, text } in self.blocks() {
            let at = format!("{}:{line}", self.path);
            match language {
                "sh" if !text.contains("curl ") => assignments = assignments + "\n" + text,
                "sh" => {
                    let run = match &mut run {
                        Some(run) => run,
                        none => none.insert(Run::start(&assignments).await),
                    };
                    run.asks(&at, &format!("{assignments}\n{text}")).await;
                }
                "http" => run.as_mut().expect("a command before the first answer").compares(&at, text),
                // The answer depends on more than the request: the document only shows it.
                "json" => run.iter_mut().for_each(|run| run.answer = None),
                other => panic!("{at}: a block of {other:?}"),
            }
        }
        assert!(run.is_some_and(|run| run.answer.is_none()), "{}: the last example has no answer", self.path);
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut pieces = self.text.split("```");
        let mut line = 1 + pieces.next().unwrap_or_default().matches('\n').count();
        while let (Some(block), Some(prose)) = (pieces.next(), pieces.next()) {
            let (language, text) = block.split_once('\n').expect("a block has lines");
            blocks.push(Block { line, language, text: text.trim_end() });
            line += block.matches('\n').count() + prose.matches('\n').count();
        }
        blocks
    }
}

struct Block {
    line: usize,
    language: &'static str,
    text: &'static str,
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
        let script = format!("curl() {{ command curl -i --noproxy '*' \"$@\"; }}\n{script}");
        let ran = Command::new("bash").args(["-euc", &script]).output().expect("bash");
        let said = String::from_utf8(ran.stdout).expect("UTF-8");
        let stderr = String::from_utf8_lossy(&ran.stderr);
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{at}: {said}{stderr}"));
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
        self.learn(&documented, &real);
        each_text(&mut documented, &|text| blurred(&self.in_this_run(text)));
        let address = self.address();
        each_text(&mut real, &|text| blurred(&text.replace(&address, ADDRESS)));
        assert_eq!(documented, real, "{at}");
    }

    /// Records the values of this answer's samples.
    fn learn(&mut self, documented: &Value, real: &Value) {
        match (documented, real) {
            (Value::Object(documented), Value::Object(real)) => {
                for (name, sample) in documented {
                    let Some(real) = real.get(name) else { continue };
                    match (name.as_str(), sample, real) {
                        ("code", Value::String(sample), Value::String(code)) => self.stands_for(sample, code),
                        _ => self.learn(sample, real),
                    }
                }
            }
            (Value::Array(documented), Value::Array(real)) => {
                documented.iter().zip(real).for_each(|(sample, real)| self.learn(sample, real));
            }
            (Value::String(sample), Value::String(real))
                if is_id(sample) && is_id(real) && sample[..2] == real[..2] =>
            {
                self.stands_for(sample, real);
            }
            _ => {}
        }
    }

    fn stands_for(&mut self, sample: &str, real: &str) {
        self.real.entry(sample.to_owned()).or_insert_with(|| real.to_owned());
    }

    fn in_this_run(&self, text: &str) -> String {
        self.real.iter().fold(text.to_owned(), |text, (sample, real)| text.replace(sample, real))
    }
}

/// Changes every text, and makes all times equal.
fn each_text(value: &mut Value, change: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(values) => values.iter_mut().for_each(|value| each_text(value, change)),
        Value::Object(members) => {
            for (name, value) in members {
                if name.ends_with("Ms") && value.is_u64() {
                    *value = Value::from(0);
                }
                each_text(value, change);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Hides the dates, secrets and message ids of this run.
fn blurred(text: &str) -> String {
    if text.starts_with("whsec_") {
        return "whsec_".to_owned();
    }
    let blurred = |word: &str| {
        let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        if shape.trim_end_matches('.') == "0000-00-00T00:00:00Z" {
            shape
        } else if is_id(word) && word.starts_with("SM") {
            "SM".to_owned()
        } else {
            word.to_owned()
        }
    };
    text.split(' ').map(blurred).collect::<Vec<_>>().join(" ")
}

fn is_id(text: &str) -> bool {
    text.len() == 34
        && text.bytes().take(2).all(|byte| byte.is_ascii_uppercase())
        && text.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit())
}
