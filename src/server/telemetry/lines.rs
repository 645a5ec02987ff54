//! Lines that a thread prints, so that a stopped reader holds up no other thread.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Lines that may wait for a reader of standard error. Beyond it lines are lost, not requests: a
/// terminal that was stopped, or a pipe without a reader, must not hold up the server.
const WAITING: usize = 8_192;

/// How long the end of the program waits for them.
const FLUSH: Duration = Duration::from_secs(1);

enum Line {
    Text(Vec<u8>),
    Last,
}

/// One line for each call of `write`.
#[derive(Clone)]
pub struct Lines(SyncSender<Line>);

/// Prints the waiting lines when it is dropped, for up to a second.
#[must_use = "the last lines are printed when it is dropped"]
pub struct LastLines {
    lines: Lines,
    printed: Receiver<()>,
}

pub fn printed_by_a_thread(mut to: impl Write + Send + 'static) -> (Lines, LastLines) {
    let (lines, waiting) = sync_channel(WAITING);
    let (done, printed) = sync_channel(1);
    let print = move || {
        for line in waiting {
            match line {
                // A closed standard error leaves no place to say so.
                Line::Text(text) => drop(to.write_all(&text)),
                Line::Last => break,
            }
        }
        let _ = done.send(());
    };
    // Without a thread nothing is printed: the channel is closed, and each line is lost.
    let _ = std::thread::Builder::new().name("log".to_owned()).spawn(print);
    let lines = Lines(lines);
    (lines.clone(), LastLines { lines, printed })
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.try_send(Line::Text(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LastLines {
    fn drop(&mut self) {
        let lines = self.lines.0.clone();
        // The queue stays full while the reader is stopped.
        let _ = std::thread::Builder::new().spawn(move || lines.send(Line::Last));
        let _ = self.printed.recv_timeout(FLUSH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_reader_holds_up_nobody_and_the_end_prints_what_waits() {
        let (read, written) = io::pipe().unwrap();
        let (mut lines, last) = printed_by_a_thread(written);
        // More than a pipe and the queue hold.
        let line = [b'x'; 1_024];
        (0..2 * WAITING).for_each(|_| lines.write_all(&line).unwrap());
        let reader = std::thread::spawn(move || io::copy(&mut { read }, &mut io::sink()).unwrap());
        drop(last);
        let printed = reader.join().unwrap();
        assert!((WAITING as u64 * 1_024..2 * WAITING as u64 * 1_024).contains(&printed), "{printed}");
    }
}
