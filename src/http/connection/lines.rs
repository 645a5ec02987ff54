//! Finds bare line feeds in the heads of HTTP/1 requests.
//!
//! hyper ends a line at a line feed, with or without a carriage return before it. A proxy in front may not: the two then
//! read different requests. [`Lines`] follows the framing of a connection (RFC 9112, 6.3 and 7.1) to tell the lines of
//! heads from bodies.

/// Bytes of a line that are kept when it arrives in parts: those of the longest line that decides where a body ends.
const KEPT: usize = 128;

/// The lines of one connection.
#[derive(Debug, Default)]
pub struct Lines {
    state: State,
    /// The beginning of a line whose end has not arrived, and whether its last byte is a carriage return.
    line: Vec<u8>,
    is_cut: bool,
    after_cr: bool,
    /// What the head says of its body; `None` before its first line.
    head: Option<BodyLength>,
}

/// What a head says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyLength {
    Bytes(u64),
    Chunked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Head,
    /// So many bytes of a body are left.
    Body(u64),
    ChunkSize,
    Chunk(u64),
    /// The end of the line behind a chunk.
    ChunkEnd,
    Trailers,
    /// hyper refuses the request, or is made to, and reads no other one on this connection.
    Unreadable,
}

impl Lines {
    /// Reads the next bytes of the connection.
    ///
    /// # Errors
    /// The number of bytes before the line, or the rest of the line, that ends without a carriage return, or that gives a
    /// length in more bytes than are kept.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self.state {
                State::Unreadable => return Ok(()),
                State::Body(left) => {
                    let taken = taken(left, rest);
                    at += taken;
                    self.state = match left - taken as u64 {
                        0 => State::Head,
                        left => State::Body(left),
                    };
                }
                State::Chunk(left) => {
                    let taken = taken(left, rest);
                    at += taken;
                    self.state = match left - taken as u64 {
                        0 => State::ChunkEnd,
                        left => State::Chunk(left),
                    };
                }
                State::Head | State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                        self.keep(rest);
                        self.after_cr = rest.last() == Some(&b'\r');
                        return Ok(());
                    };
                    let has_cr = if end == 0 { self.after_cr } else { rest[end - 1] == b'\r' };
                    if !has_cr {
                        self.state = State::Unreadable;
                        return Err(at);
                    }
                    self.after_cr = false;
                    let has_ended = if self.line.is_empty() {
                        self.end_line(&rest[..end.saturating_sub(1)], false)
                    } else {
                        self.keep(&rest[..end]);
                        let line = std::mem::take(&mut self.line);
                        let is_cut = std::mem::take(&mut self.is_cut);
                        self.end_line(line.strip_suffix(b"\r").unwrap_or(&line), is_cut)
                    };
                    if !has_ended {
                        self.state = State::Unreadable;
                        return Err(at);
                    }
                    at += end + 1;
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, part: &[u8]) {
        let room = KEPT.saturating_sub(self.line.len());
        self.is_cut |= part.len() > room;
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    /// Takes a line without its end. `is_cut`: its rest is missing. Returns `false` if the rest would matter.
    fn end_line(&mut self, line: &[u8], is_cut: bool) -> bool {
        self.state = match self.state {
            // Empty lines before a request are passed over.
            State::Head if line.is_empty() => match self.head.take() {
                None | Some(BodyLength::Bytes(0)) => State::Head,
                Some(BodyLength::Bytes(length)) => State::Body(length),
                Some(BodyLength::Chunked) => State::ChunkSize,
            },
            State::Head if self.head.is_none() => {
                self.head = Some(BodyLength::Bytes(0));
                State::Head
            }
            State::Head => match self.header(line, is_cut) {
                Some(state) => state,
                None => return false,
            },
            State::ChunkSize => match chunk_size(line) {
                Some(0) => State::Trailers,
                Some(size) => State::Chunk(size),
                None => State::Unreadable,
            },
            State::ChunkEnd => State::ChunkSize,
            State::Trailers if line.is_empty() => State::Head,
            other => other,
        };
        true
    }

    fn header(&mut self, line: &[u8], is_cut: bool) -> Option<State> {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Some(State::Head) };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.head = Some(BodyLength::Chunked);
        } else if name.eq_ignore_ascii_case(b"content-length") && self.head != Some(BodyLength::Chunked) {
            if is_cut {
                return None;
            }
            let lengths = std::str::from_utf8(value).ok().and_then(|value| {
                let mut lengths = value.split(',').map(|length| digits(length.trim(), 10));
                let first = lengths.next()??;
                lengths.all(|length| length == Some(first)).then_some(first)
            });
            match lengths {
                Some(length) => self.head = Some(BodyLength::Bytes(length)),
                None => return Some(State::Unreadable),
            }
        }
        Some(State::Head)
    }
}

/// The bytes of `rest` that belong to `left`.
fn taken(left: u64, rest: &[u8]) -> usize {
    usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()))
}

/// The size of a chunk in the line before it, which may have an extension.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next()?;
    digits(std::str::from_utf8(size).ok()?, 16)
}

/// A number without a sign.
fn digits(text: &str, radix: u32) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text, radix).ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POST: &str = "POST /a HTTP/1.1\r\nHost: a\r\ncontent-length: 4, 4\r\n\r\n{\n\n}";
    const CHUNKED: &str = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                           4;x=\"1\"\r\n{\n\n}\r\n2\r\n\n\n\r\n0\r\nb: 1\r\n\r\n";
    const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";

    /// Reads the text in parts that end at these places.
    fn in_parts(text: &str, cuts: &[usize]) -> Result<(), usize> {
        let mut lines = Lines::default();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.push(text.len());
        cuts.sort_unstable();
        let mut begin = 0;
        for cut in cuts {
            lines.read(&text.as_bytes()[begin..cut]).map_err(|good| begin + good)?;
            begin = cut;
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn line_feeds_in_bodies_are_no_line_ends(
            requests in proptest::collection::vec(proptest::sample::select(&[POST, CHUNKED, GET]), 1..6),
            cuts in proptest::collection::vec(any::<usize>(), 0..20),
        ) {
            prop_assert_eq!(in_parts(&requests.concat(), &cuts), Ok(()));
        }

        #[test]
        fn a_bare_line_feed_in_a_head_is_found_however_it_arrives(
            before in proptest::collection::vec(proptest::sample::select(&[POST, CHUNKED, GET]), 0..4),
            line in 0..4_usize,
            cuts in proptest::collection::vec(any::<usize>(), 0..20),
        ) {
            let mut bad = GET.split_inclusive("\r\n").map(str::to_owned).collect::<Vec<_>>();
            bad[line] = bad[line].replace("\r\n", "\n");
            let (before, bad) = (before.concat(), bad.concat());
            let found = in_parts(&format!("{before}{bad}"), &cuts);
            // The last part of the line, if it arrived in parts.
            prop_assert!(found.is_err_and(|good| (before.len()..before.len() + bad.len()).contains(&good)));
        }
    }

    #[test]
    fn a_length_that_no_server_accepts_ends_the_reading() {
        for length in ["x", "", "+4", "4, 5", "99999999999999999999"] {
            let text = format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n\n\n\n");
            assert_eq!(in_parts(&text, &[]), Ok(()), "{length:?}");
        }
        let long = format!("POST / HTTP/1.1\r\ncontent-length: {}4\r\n\r\nabcd\n", " ".repeat(200));
        assert_eq!(in_parts(&long, &[]), Err(long.len() - 1));
        assert!(in_parts(&long, &[30]).is_err(), "a length that was not kept");
    }
}
