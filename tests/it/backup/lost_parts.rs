//! A data directory that lacks a part or its key, or does not belong to its key: what a start and the commands say.

use std::fs;

use super::killed;
use crate::support::prelude::*;

#[tokio::test]
async fn a_key_that_would_have_a_start_refused_is_found() {
    let setup = killed(2).await;
    let check = ["check-data"];
    setup.command(check).await.exits(0);
    let path = setup.data_dir().join("server.key");
    let right = fs::read_to_string(&path).expect("the key");
    for (content, says) in [
        ("ab".repeat(32), "the server key is not the one that the data in"),
        (right[..40].to_owned(), "is not a server key"),
    ] {
        fs::write(&path, content).expect("written");
        setup.command(check).await.exits(65).says([says]);
        setup.run().await.exits(70).says([says]);
    }
    fs::remove_file(&path).expect("lost");
    setup.command(check).await.exits(65).says(["holds data but no server.key"]);
    let elsewhere = setup.env("ONCEWARD_KEY_FILE", "elsewhere.key");
    elsewhere.command(check).await.exits(65).says(["elsewhere.key"]);
    elsewhere.file("elsewhere.key", right).command(check).await.exits(0);
}
