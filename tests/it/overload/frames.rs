//! Frames of HTTP/2, built byte by byte (RFC 9113).

/// Frames for one connection.
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

    /// Frames for an open connection, from this stream on.
    pub fn going_on(next_stream: u32) -> Self {
        Self { bytes: Vec::new(), next_stream }
    }

    /// `GET /openapi.json`.
    pub fn get_a_long_answer(self) -> Self {
        self.request(END_HEADERS | END_STREAM, b"\x82\x86\x04\x0d/openapi.json\x01\x01t")
    }

    /// A POST whose body does not end.
    pub fn post_in_part(self) -> Self {
        let stream = self.next_stream;
        self.post().frame(DATA, 0, stream, b"{\"user\"")
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
