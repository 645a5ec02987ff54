//! A vector of packed numbers in chunks of one size.
//!
//! A vector that grows by doubling holds up to twice the memory that it needs, and three times while it moves. Here
//! nothing moves, and at most a chunk and a half are empty.

use super::packed::Packed;

/// Entries of one chunk, 64 KiB: one chunk for each shard of a server that knows few numbers is cheap, and ten million
/// numbers have ten thousand.
pub(super) const CHUNK: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct ChunkedVec {
    chunks: Vec<Vec<Packed>>,
    len: usize,
}

impl ChunkedVec {
    /// Entries that there is memory for.
    #[cfg(test)]
    pub(super) const fn capacity(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, at: usize) -> Option<&Packed> {
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Packed> {
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }

    pub(super) fn push(&mut self, packed: Packed) {
        if self.len == self.chunks.len() * CHUNK {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.get_mut(self.len / CHUNK) {
            chunk.push(packed);
            self.len += 1;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Packed> {
        let last = self.len.checked_sub(1)?;
        let packed = self.chunks.get_mut(last / CHUNK)?.pop()?;
        self.len = last;
        // An empty chunk stays until half of the one before it is empty too. Otherwise numbers that come and go at its
        // start would allocate and free it each time.
        if self.len + CHUNK / 2 < (self.chunks.len() - 1) * CHUNK {
            self.chunks.pop();
        }
        Some(packed)
    }
}
