//! HTTP/2 as nobody should speak it, frame by frame (RFC 9113).

use std::collections::HashMap;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::documented::verified;
use crate::support::{World, soon, until};

/// Frames to be sent on one connection.
pub struct Frames {
    bytes: Vec<u8>,
    next_stream: u32,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;

impl Frames {
    /// The preface and empty settings.
    pub fn begin() -> Self {
        Self { bytes: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), next_stream: 1 }.frame(
            SETTINGS,
            0,
            0,
            &[],
        )
    }

    /// Frames of a connection that has begun, from this stream on.
    pub fn going_on(next_stream: u32) -> Self {
        Self { bytes: Vec::new(), next_stream }
    }

    /// A POST whose body begins and does not end.
    pub fn post_in_part(self) -> Self {
        let stream = self.next_stream;
        let mut frames = self.headers().frame(DATA, 0, stream, b"{\"user\"");
        frames.next_stream += 2;
        frames
    }

    /// A POST that is taken back at once.
    pub fn post_and_reset(self) -> Self {
        let stream = self.next_stream;
        let body = br#"{"phoneNumber":"+14155550000"}"#;
        let mut frames = self.headers().frame(DATA, END_STREAM, stream, body).frame(
            RST_STREAM,
            0,
            stream,
            &CANCEL.to_be_bytes(),
        );
        frames.next_stream += 2;
        frames
    }

    pub fn bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// `:method: POST`, `:scheme: http`, `:path: /api/verify-otp`, `:authority: t`, without compression
    /// (RFC 7541: two indexed fields, two literals with indexed names).
    fn headers(self) -> Self {
        let path = b"/api/verify-otp";
        let mut block = vec![0x83, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
        block.extend_from_slice(path);
        block.extend_from_slice(&[0x01, 1, b't']);
        let stream = self.next_stream;
        self.frame(HEADERS, END_HEADERS, stream, &block)
    }

    fn frame(mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.bytes.extend_from_slice(&length[1..]);
        self.bytes.extend_from_slice(&[kind, flags]);
        self.bytes.extend_from_slice(&stream.to_be_bytes());
        self.bytes.extend_from_slice(payload);
        self
    }
}

/// The status of each stream, read until there are so many or the connection ends.
async fn statuses(stream: &mut TcpStream, wanted: usize) -> HashMap<u32, Vec<u8>> {
    let mut found = HashMap::new();
    while found.len() < wanted {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            break;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.expect("a whole frame");
        if head[3] == HEADERS {
            found.insert(u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload);
        }
    }
    found
}

#[tokio::test]
async fn slow_bodies_of_many_streams_are_refused_beyond_their_limit_and_keep_nobody_out() {
    let world = World::with([("max-connections", json!(4)), ("body-timeout", json!("2s"))]).await;
    let (number, code) = world.number_with_code().await;
    let mut attacker = world.connection().await;
    let streams = (0..30).fold(Frames::begin(), |frames, _| frames.post_in_part());
    attacker.write_all(&streams.bytes()).await.expect("written");
    // Four may arrive in parts at the same time, one for each connection; the others are told at once.
    let refused = soon("refusals", statuses(&mut attacker, 26)).await;
    assert_eq!(refused.len(), 26);

    world.verify(&number, &code).await.expects(verified(&number));
    let rest = soon("time-outs", statuses(&mut attacker, 4)).await;
    assert!(rest.keys().all(|stream| !refused.contains_key(stream)), "each stream has one answer");

    // Their places are free again.
    let more = (0..4).fold(Frames::going_on(61), |frames, _| frames.post_in_part());
    attacker.write_all(&more.bytes()).await.expect("written");
    let whole = world.post("/api/verify-otp", "{}").await;
    assert_eq!(whole.status(), 400);
    assert_eq!(soon("time-outs", statuses(&mut attacker, 4)).await.len(), 4);
}

#[tokio::test]
async fn streams_that_are_reset_at_once_by_the_thousand_disturb_nobody() {
    let world = World::new().await;
    let mut known = Vec::new();
    for _ in 0..5 {
        known.push(world.number_with_code().await);
    }
    let before = world.server.resident_mib();
    let mut attackers = Vec::new();
    for _ in 0..4 {
        let mut attacker = world.connection().await;
        let (mut reader, mut writer) = {
            let frames = (0..5_000).fold(Frames::begin(), |frames, _| frames.post_and_reset());
            // The server may end the connection before all of it is written.
            let reader = soon("the flood", async {
                let _ = attacker.write_all(&frames.bytes()).await;
                attacker
            });
            tokio::io::split(reader.await)
        };
        attackers.push(tokio::spawn(async move {
            let _ = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
            let _ = writer.shutdown().await;
        }));
        let (number, code) = known.pop().expect("a known number");
        world.verify(&number, &code).await.expects(verified(&number));
    }
    let (number, code) = known.pop().expect("a known number");
    world.verify(&number, &code).await.expects(verified(&number));
    until("ready", || world.get("/readyz"), |answer| answer.status() == 200).await;
    let after = world.server.resident_mib();
    assert!(after < before + 200, "{before} MiB became {after} MiB");
    for attacker in attackers {
        attacker.abort();
    }
}
