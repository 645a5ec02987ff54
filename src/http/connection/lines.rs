//! Finds what hyper takes and a proxy in front may read as another request: bare line feeds in the heads of HTTP/1
//! requests, which end a line for hyper, heads with both a length and chunks, of which hyper believes the chunks, and other
//! codings than one `chunked`.
//! [`Lines`] follows the framing of a connection (RFC 9112, 6.3 and 7.1) to tell the lines of heads from bodies.

use std::io::BufRead as _;

#[derive(Debug, Default)]
pub struct Lines {
    state: State,
    /// The beginning of a line whose end has not arrived. hyper limits its length: it refuses long heads and chunks with long
    /// extensions, and then reads no more.
    line: Vec<u8>,
    /// The state after the head; `None` before its first line.
    after_head: Option<State>,
    /// Whether the head has a length.
    has_length: bool,
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
    /// The number of bytes before the line, or the rest of the line, that cannot be taken.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match self.state {
                State::Unreadable => return Ok(()),
                State::Body(left) | State::Chunk(left) => {
                    let taken = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    let left = left - taken as u64;
                    self.state = match self.state {
                        State::Body(_) if left == 0 => State::Head,
                        State::Body(_) => State::Body(left),
                        _ if left == 0 => State::ChunkEnd,
                        _ => State::Chunk(left),
                    };
                    taken
                }
                State::Head | State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    let (mut line, mut unread) = (std::mem::take(&mut self.line), rest);
                    // Bytes in memory can always be read.
                    let _ = unread.read_until(b'\n', &mut line);
                    let Some(whole) = line.strip_suffix(b"\n") else {
                        self.line = line;
                        return Ok(());
                    };
                    let after = whole.strip_suffix(b"\r").and_then(|whole| self.after(whole));
                    let Some(after) = after else {
                        self.state = State::Unreadable;
                        return Err(at);
                    };
                    self.state = after;
                    line.clear();
                    self.line = line;
                    rest.len() - unread.len()
                }
            };
        }
        Ok(())
    }

    /// The state after a line without its end; `None` if the request must be refused.
    fn after(&mut self, line: &[u8]) -> Option<State> {
        Some(match self.state {
            // Empty lines before a request are passed over.
            State::Head if line.is_empty() => self.after_head.take().unwrap_or_default(),
            State::Head if self.after_head.is_none() => {
                (self.after_head, self.has_length) = (Some(State::Head), false);
                State::Head
            }
            State::Head => return self.header(line),
            State::ChunkSize => match chunk_size(line) {
                Some(0) => State::Trailers,
                Some(size) => State::Chunk(size),
                None => State::Unreadable,
            },
            State::ChunkEnd => State::ChunkSize,
            State::Trailers if line.is_empty() => State::Head,
            other => other,
        })
    }

    fn header(&mut self, line: &[u8]) -> Option<State> {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Some(State::Head) };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        // RFC 9112, 6.1 and 6.3: a head with both, or with another coding, may be an attempt to smuggle a request.
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_again = self.after_head == Some(State::ChunkSize);
            if self.has_length || is_again || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return None;
            }
            self.after_head = Some(State::ChunkSize);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.after_head == Some(State::ChunkSize) {
                return None;
            }
            self.has_length = true;
            let lengths = std::str::from_utf8(value).ok().and_then(|value| {
                let mut lengths = value.split(',').map(|length| digits(length.trim(), 10));
                let first = lengths.next()??;
                lengths.all(|length| length == Some(first)).then_some(first)
            });
            match lengths {
                Some(0) => self.after_head = Some(State::Head),
                Some(length) => self.after_head = Some(State::Body(length)),
                None => return Some(State::Unreadable),
            }
        }
        Some(State::Head)
    }
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
        assert!(in_parts(&long, &[30]).is_err(), "a line in parts");
    }
}
