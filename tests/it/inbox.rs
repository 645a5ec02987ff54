//! The events of the simulator's inbox. `tests/http/inbox.rs` has the page, the list and the form.

use rustix::process::Signal;
use tokio::io::AsyncReadExt as _;

use crate::support::prelude::*;

#[tokio::test]
async fn an_event_tells_each_page_that_a_message_has_come() {
    let server = Setup::new().start().await;
    let path = "/inbox/events";
    let mut readers = [events(&server.client, path, "").await, events(&server.client, path, "").await];
    server.client.send("+14155550123").await.expects(sent("+14155550123", 5));
    for reader in &mut readers {
        until_text(reader, "data: changed").await;
    }
    let code = code_in(&inbox(&server.client, "+14155550123").await[0]);
    server.client.verify("+14155550123", &code).await.expects(verified("+14155550123"));
    for reader in &mut readers {
        until_text(reader, "data: changed").await;
    }
    // A person who tries it stops it from the keyboard.
    server.signal(Signal::INT);
    for reader in &mut readers {
        let mut rest = Vec::new();
        soon("the end", reader.read_to_end(&mut rest)).await.expect("an orderly end");
    }
    assert!(server.ended().await.status.success(), "open pages do not hold up a stop");
}
