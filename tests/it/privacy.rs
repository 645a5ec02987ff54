//! No code, no secret and no whole number is in any output or file.
//!
//! The scenario runs at trace level. Then the test searches the output and every file of the data directory.

use crate::support::prelude::*;

#[tokio::test]
async fn the_simulators_scenario_prints_and_stores_nothing_private() {
    let setup = at_trace_level(Setup::new());
    let server = setup.start().await;
    let client = &server.client;
    let mut private = Private::default();
    let numbers = Numbers::default();
    for _ in 0..4 {
        let number = private.number(numbers.next());
        client.send(&number).await;
        client.send_code(&number).await;
        client.send(&number).await;
        let messages = inbox(client, &number).await;
        assert_eq!(messages.len(), 3);
        private.codes.extend(messages.iter().map(code_in));
        client.get("/inbox").await;
        let code = code_in(&messages[0]);
        client.verify(&number, &wrong(&code)).await;
        client.verify(&number, &code).await;
    }
    let finished = server.stop().await;
    private.server_key(&setup.data_dir());
    private.is_not_in_output(&finished.output);
    private.is_not_in_files_of(&setup.data_dir());
}

/// Tests the test: it must find what is planted.
#[test]
fn what_is_private_would_be_found() {
    let mut private = Private::default();
    let number = private.number("+14155550000".to_owned());
    private.codes.push("0123456789".to_owned());
    private.secrets.push("a-secret-of-a-service".to_owned());
    assert!(private.found_in(format!("a number {number}").as_bytes()).is_some());
    assert!(private.found_in(b"its national part 4155550000").is_some());
    assert!(private.found_in(b"{\"code\":\"0123456789\"}").is_some());
    assert!(private.found_in(&123_456_789_u64.to_be_bytes()).is_some());
    assert!(private.found_in(AUTH_TOKEN.as_bytes()).is_some());
    assert!(private.found_in(basic(OWN_ACCOUNT, OWN_TOKEN).as_bytes()).is_some());
    assert!(private.found_in_file(b"{\"a\":\"a-secret-of-a-service\"}").is_some());
    assert!(private.found_in(b"+1415*****00 and 0123456").is_none());
}

/// Ten digits: a time or a counter in the log cannot look like a code.
fn at_trace_level(setup: Setup) -> Setup {
    setup.args(["--log-level", "trace"]).config("otp-length", 10)
}
