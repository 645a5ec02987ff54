//! Data that a newer version of the program wrote: what a start and the commands say.

use std::fs;

use super::closed;
use crate::support::{Says, files};

#[tokio::test]
async fn a_newer_format_names_the_version_that_it_needs() {
    let setup = closed(1).await;
    let path = setup.data_dir().join("FORMAT");
    let right = fs::read_to_string(&path).expect("FORMAT");
    let program = format!("program = {}\n", env!("CARGO_PKG_VERSION"));
    assert!(right.contains("format = 1\n") && right.contains(&program), "{right}");
    fs::write(&path, right.replace("format = 1", "format = 2").replace(&program, "program = 9.1.0\n"))
        .expect("edited");
    let before = files(&setup.data_dir());
    let started = setup.run().await.exits(70);
    let exported = setup.command(["export", "--out", "no.jsonl"]).await.exits(65);
    for finished in [started, exported] {
        // The log quotes the quotation marks.
        finished.output.replace("\\\"", "\"").says([
            "has format 2, written by onceward 9.1.0, and this program",
            "install onceward 9.1.0 or a later version",
            "\"Downgrade\" in docs/operate/deploy.md",
        ]);
    }
    assert!(!setup.home().join("no.jsonl").exists());
    setup.command(["check-data"]).await.exits(65).says(["format 2, written by onceward 9.1.0"]);
    assert_eq!(files(&setup.data_dir()), before, "a refusal changes nothing");

    fs::write(&path, format!("{right}x")).expect("edited");
    let parts = ["FORMAT is damaged (", "it goes on after its fifth line", "put the file back"];
    setup.run().await.exits(70).says(parts);
    fs::write(&path, right).expect("put back");
    setup.start().await;
}
