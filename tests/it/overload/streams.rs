//! HTTP/2 that no client should send, built frame by frame (RFC 9113).

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::numbers_with_codes;
use crate::support::prelude::*;

#[tokio::test]
async fn thousands_of_streams_that_are_reset_at_once_disturb_no_client() {
    let (world, authority) = over_tls(Setup::new()).await;
    let mut known = numbers_with_codes(&world, 5).await;
    let before = world.server.resident_mib();
    let mut attackers = Vec::new();
    for _ in 0..4 {
        let mut attacker = encrypted(&world.server, authority.client(&["h2"])).await;
        let frames = (0..5_000).fold(Frames::begin(), |frames, _| frames.post_and_reset());
        // The server may end the connection before all of it is written.
        let _ = soon("the flood", attacker.write_all(&frames.bytes())).await;
        attackers.push(tokio::spawn(async move {
            let _ = tokio::io::copy(&mut attacker, &mut tokio::io::sink()).await;
            let _ = attacker.shutdown().await;
        }));
        let (number, code) = known.pop().expect("a known number");
        world.verify(&number, &code).await.expects(verified(&number));
    }
    let (number, code) = known.pop().expect("a known number");
    world.verify(&number, &code).await.expects(verified(&number));
    world.until_ready().await;
    let after = world.server.resident_mib();
    assert!(after < before + 200, "{before} MiB became {after} MiB");
    for attacker in attackers {
        attacker.abort();
    }
}

#[tokio::test]
async fn long_answers_that_nobody_takes_hold_little_memory() {
    let (world, authority) = over_tls(Setup::new()).await;
    world.get("/openapi.json").await;
    let before = world.server.resident_mib();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = encrypted(&world.server, authority.client(&["h2"])).await;
        let frames =
            (0..100).fold(Frames::begin_with_largest_windows(), |frames, _| frames.get_a_long_answer());
        client.write_all(&frames.bytes()).await.expect("written");
        // Until its first bytes arrive; the client reads no more.
        client.read_u8().await.expect("an answer");
        clients.push(client);
    }
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &code).await.expects(verified(&number));
    let after = world.server.resident_mib();
    println!("{before} MiB became {after} MiB");
    assert!(after < before + 20, "{before} MiB became {after} MiB");
}

pub struct Frames {
    bytes: Vec<u8>,
    next_stream: u32,
}

const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
const LARGEST_WINDOW: u32 = 0x7fff_ffff;
const FIRST_WINDOW: u32 = 0xffff;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;

impl Frames {
    /// The preface and empty settings.
    pub fn begin() -> Self {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        Self { bytes: preface, next_stream: 1 }.frame(SETTINGS, 0, 0, &[])
    }

    /// The preface, and the largest windows for answers.
    pub fn begin_with_largest_windows() -> Self {
        let window = [&INITIAL_WINDOW_SIZE[..], &LARGEST_WINDOW.to_be_bytes()].concat();
        let rest = (LARGEST_WINDOW - FIRST_WINDOW).to_be_bytes();
        Self::begin().frame(SETTINGS, 0, 0, &window).frame(WINDOW_UPDATE, 0, 0, &rest)
    }

    /// `GET /openapi.json`.
    pub fn get_a_long_answer(self) -> Self {
        self.request(END_HEADERS | END_STREAM, b"\x82\x86\x04\x0d/openapi.json\x01\x01t")
    }

    /// A POST that the client resets at once.
    pub fn post_and_reset(self) -> Self {
        let stream = self.next_stream;
        let frames = self.post().frame(DATA, END_STREAM, stream, br#"{"phoneNumber":"+14155550000"}"#);
        frames.frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
    }

    pub fn bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn post(self) -> Self {
        self.request(END_HEADERS, b"\x83\x86\x04\x0f/api/verify-otp\x01\x01t")
    }

    /// The headers of a request on the next stream, without compression (RFC 7541): `:method` and `:scheme: http` as
    /// indexed fields, `:path` and `:authority: t` as literals with indexed names.
    fn request(self, flags: u8, block: &[u8]) -> Self {
        let stream = self.next_stream;
        let frames = self.frame(HEADERS, flags, stream, block);
        Self { next_stream: stream + 2, ..frames }
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
