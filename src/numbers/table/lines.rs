//! Lines in the order in which they came, in pieces of one size.
//!
//! A vector that grows by doubling holds up to twice what it needs, and three times while it moves. Here nothing
//! moves, and at most a piece and a half are empty.

use super::packed::Packed;

/// Lines of one piece, 64 KiB: a piece for each shard of a server that knows few numbers is nothing, and ten million
/// numbers have ten thousand.
pub(super) const PIECE: usize = 1024;

/// The lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pieces: Vec<Vec<Packed>>,
    len: usize,
}

impl Lines {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, at: usize) -> Option<&Packed> {
        self.pieces.get(at / PIECE)?.get(at % PIECE)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Packed> {
        self.pieces.get_mut(at / PIECE)?.get_mut(at % PIECE)
    }

    /// Adds a line behind all others.
    pub(super) fn push(&mut self, line: Packed) {
        if self.len == self.pieces.len() * PIECE {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        if let Some(piece) = self.pieces.get_mut(self.len / PIECE) {
            piece.push(line);
            self.len += 1;
        }
    }

    /// Removes the last line.
    pub(super) fn pop(&mut self) -> Option<Packed> {
        let last = self.len.checked_sub(1)?;
        let line = self.pieces.get_mut(last / PIECE)?.pop()?;
        self.len = last;
        // An empty piece stays until half of the one before it is empty too: whoever comes and goes at its beginning
        // does not take and give it back each time.
        if self.len + PIECE / 2 < (self.pieces.len() - 1) * PIECE {
            self.pieces.pop();
        }
        Some(line)
    }
}
