//! The output of the program, collected while it runs.

use std::io::{BufRead as _, BufReader, PipeReader};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use tokio::sync::watch;

/// The lines of standard output and standard error, in order of arrival.
#[derive(Debug, Clone)]
pub struct Output {
    lines: Arc<Mutex<Lines>>,
    seen: watch::Receiver<usize>,
}

#[derive(Debug, Default)]
struct Lines {
    all: Vec<String>,
    /// The JSON objects among the first `read` lines.
    events: Vec<Value>,
    read: usize,
}

impl Lines {
    /// Each line is read once: a log has thousands, and tests ask after every new one.
    fn events(&mut self) -> &[Value] {
        let new = self.all[self.read..].iter().filter_map(|line| serde_json::from_str(line).ok());
        self.events.extend(new.filter(Value::is_object));
        self.read = self.all.len();
        &self.events
    }
}

impl Output {
    /// Reads the program's output to its end, on a thread.
    pub fn collect(program: PipeReader) -> Self {
        let lines = Arc::<Mutex<Lines>>::default();
        let (sender, seen) = watch::channel(0);
        let read = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(program).split(b'\n') {
                let Ok(line) = line else { break };
                read.lock().unwrap().all.push(String::from_utf8_lossy(&line).into_owned());
                sender.send_modify(|count| *count += 1);
            }
        });
        Self { lines, seen }
    }

    pub fn text(&self) -> String {
        self.lines.lock().unwrap().all.join("\n")
    }

    /// The lines until now that are JSON objects.
    pub fn events(&self) -> Vec<Value> {
        self.lines.lock().unwrap().events().to_vec()
    }

    /// The first event that satisfies the condition, now or later; `None` if the program closed its output without it.
    pub async fn event(&self, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let mut seen = self.seen.clone();
        let mut asked = 0;
        let mut next = || {
            let mut lines = self.lines.lock().unwrap();
            let events = lines.events();
            let found = events[asked..].iter().find(|event| wanted(event)).cloned();
            asked = events.len();
            found
        };
        loop {
            seen.mark_unchanged();
            if let Some(event) = next() {
                return Some(event);
            }
            if seen.changed().await.is_err() {
                // The output is complete.
                return next();
            }
        }
    }

    /// Waits until the program has closed its output.
    pub async fn closed(&self) {
        let mut seen = self.seen.clone();
        while seen.changed().await.is_ok() {}
    }
}
