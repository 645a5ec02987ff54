//! A provider that holds the code and never says whether a submitted one is right.

use super::GatewayKind;
use crate::support::prelude::*;

/// The provider's behaviour, and whether it may have looked at the code: then the attempt counts.
const TROUBLES: [(Act, bool); 16] = [
    (Act::Hang, true),
    (Act::CloseAfterRequest, true),
    (Act::Reset, true),
    (Act::Say("SSH-2.0-OpenSSH_9.6\r\n\r\n"), true),
    (Act::Flood("", "x"), true),
    (Act::Drip("HTTP/1.1 200 OK\r\n", "X: y\r\n"), true),
    (Act::Flood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "8\r\nxxxxxxxx\r\n"), true),
    (Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"status\":\"approved\""), true),
    (Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html"), true),
    (Act::Say("HTTP/1.1 204 No Content\r\n\r\n"), true),
    (Act::Say("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"), true),
    (Act::Say("HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\n<html"), true),
    (Act::Say("HTTP/1.1 503 Oh\r\nRetry-After: 1\r\nContent-Length: 5\r\n\r\n<html"), true),
    (Act::Say("HTTP/1.1 401 No\r\nContent-Length: 5\r\n\r\n<html"), false),
    (Act::Say("HTTP/1.1 429 Busy\r\nContent-Length: 5\r\n\r\n<html"), false),
    (Act::Say("HTTP/1.1 404 Gone\r\nContent-Length: 5\r\n\r\n<html"), false),
];

#[tokio::test]
async fn whatever_twilio_verify_does_a_check_that_it_may_have_looked_at_counts() {
    let started = answer("201 Created", r#"{"sid":"VE00000000000000000000000000000001","status":"pending"}"#);
    let approved =
        answer("200 OK", r#"{"sid":"VE00000000000000000000000000000001","status":"approved","valid":true}"#);
    let raw = Raw::start().await;
    let setup = Setup::new().config("send-budget", "4s").config("bounds.breaker-failures", 1000);
    let server = GatewayKind::TwilioVerify.at(&format!("http://{}", raw.address), setup).start().await;
    let numbers = Numbers::default();
    for (act, counts) in TROUBLES {
        let number = numbers.next();
        raw.act(Act::SayAndStay(started));
        server.client.send(&number).await.expects(sent(&number, 5));
        raw.act(act);
        let asked = raw.requests();
        server.client.verify(&number, "123456").await.expects(failed());
        assert_eq!(raw.requests() - asked, 1, "{act:?}: asked once");
        // The server drops an endless exchange.
        let over = |open: &usize| act.ends() || *open == 0;
        until(&format!("{act:?}: its end"), || async { raw.open() }, over).await;
        // A text that cannot be a code counts, and the server asks no gateway: its answer shows the count before it.
        let left = if counts { 3 } else { 4 };
        server.client.verify(&number, "no code").await.expects(incorrect(&number, left));
        raw.act(Act::SayAndStay(approved));
        server.client.verify(&number, "123456").await.expects(verified(&number));
        server.client.verify(&number, "123456").await.expects(incorrect(&number, 5));
    }
}

fn answer(status: &str, body: &str) -> &'static str {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .leak()
}
