//! An independent writer of the journal's format, from the documentation alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use onceward::store::Key;

#[derive(Debug, Clone, Default)]
pub struct FrameSpec {
    pub sequence: u64,
    pub records: Vec<(Key, Option<Bytes>)>,
}

impl FrameSpec {
    pub fn encoded(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (key, put) in &self.records {
            let content = put.as_deref().unwrap_or_default();
            body.extend([u8::from(put.is_some()), key.slot, key.kind]);
            body.extend(key.id);
            body.extend(u64::MAX.to_le_bytes());
            body.extend(u32::try_from(content.len()).expect("a small record").to_le_bytes());
            body.extend(content);
        }
        let mut frame = b"owF2\0\0\0\0".to_vec();
        frame.extend(u32::try_from(body.len()).expect("a small body").to_le_bytes());
        frame.push(1);
        frame.extend(u32::try_from(self.records.len()).expect("few").to_le_bytes());
        frame.extend(self.sequence.to_le_bytes());
        frame.extend(1_700_000_000_000_u64.to_le_bytes());
        frame.extend(body);
        fixed_up(&frame)
    }
}

/// Corrects the start, the length and the checksum of a frame.
pub fn fixed_up(bytes: &[u8]) -> Vec<u8> {
    let mut frame = bytes.to_vec();
    if let Some(body) = frame.len().checked_sub(33) {
        frame[..4].copy_from_slice(b"owF2");
        frame[8..12].copy_from_slice(&u32::try_from(body).expect("a small body").to_le_bytes());
        let checksum = crc32c::crc32c(&frame[8..]);
        frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
    frame
}

pub fn header(number: u64, first_sequence: u64) -> Vec<u8> {
    let mut bytes = b"owjournl".to_vec();
    bytes.extend(2_u32.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(first_sequence.to_le_bytes());
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// The last record of each key.
pub fn newest(frames: &[FrameSpec]) -> BTreeMap<Key, Option<Bytes>> {
    frames.iter().flat_map(|frame| frame.records.iter().cloned()).collect()
}

/// A journal of some segments with some frames each.
pub struct Journal {
    frames: Vec<FrameSpec>,
    /// The number of frames of each segment.
    lengths: Vec<usize>,
}

impl Journal {
    /// At most three segments with five frames in all: each byte is one record, 0 ends a frame, 255 ends a segment.
    pub fn described(description: &[u8]) -> Self {
        let mut journal = Self { frames: Vec::new(), lengths: vec![0] };
        journal.begin();
        for byte in description.iter().take(60) {
            match byte {
                0 => journal.begin(),
                255 if journal.lengths.len() < 3 => {
                    journal.lengths.push(0);
                    journal.begin();
                }
                byte => journal.record(*byte),
            }
        }
        journal
    }

    fn begin(&mut self) {
        let sequence = self.frames.len() as u64 + 1;
        self.frames.push(FrameSpec { sequence, records: Vec::new() });
        *self.lengths.last_mut().expect("a segment") += 1;
    }

    fn record(&mut self, byte: u8) {
        let key = Key { slot: byte >> 1 & 3, kind: 1 + (byte & 1), id: [byte >> 1 & 7; 12] };
        // A record may look like the start of a frame.
        let put = (byte & 16 == 0).then(|| Bytes::from(b"owF2".repeat(usize::from(byte >> 5))));
        self.frames.last_mut().expect("a frame").records.push((key, put));
    }

    pub fn frames(&self) -> &[FrameSpec] {
        &self.frames
    }

    /// The files, with reserved space after the last frame.
    pub fn segments(&self) -> Segments {
        let mut frames = self.frames.iter();
        let segment = |(number, length): (u64, &usize)| {
            let taken: Vec<&FrameSpec> = frames.by_ref().take(*length).collect();
            let mut bytes = header(number, taken[0].sequence);
            bytes.extend(taken.iter().flat_map(|frame| frame.encoded()));
            bytes.extend([0; 64]);
            (number, bytes)
        };
        (1..).zip(&self.lengths).map(segment).collect()
    }

    /// The same with one damage, and the first and the last damaged frame, counted from 0; `None` if no frame is
    /// damaged. Returns `None` if the damage changes nothing.
    pub fn damaged_by(&self, damage: [u8; 8]) -> Option<(Segments, Option<(usize, usize)>)> {
        let mut segments = self.segments();
        let [kind, which, a, b, c, rest @ ..] = damage;
        let which = usize::from(which) % segments.len();
        let before: usize = self.lengths[..which].iter().sum();
        let frames = &self.frames[before..before + self.lengths[which]];
        let bytes = &mut segments[which].1;
        let old = bytes.clone();
        let at = usize::from(u16::from_le_bytes([a, b])) % bytes.len();
        match kind % 3 {
            0 => bytes[at] ^= 1 << (c % 8),
            1 => bytes.truncate(at),
            _ => {
                let end = (at + 1 + usize::from(c)).min(bytes.len());
                bytes[at..end].iter_mut().zip(rest.iter().cycle()).for_each(|(byte, other)| *byte = *other);
            }
        }
        let differs = |at: &usize| bytes.get(*at) != old.get(*at);
        let first = (0..old.len()).find(differs)?;
        let last = (0..old.len()).rfind(differs)?;
        // Reserved space follows the last frame.
        let hit = frame_at(frames, first)
            .map(|first| (before + first, before + frame_at(frames, last).unwrap_or(frames.len() - 1)));
        Some((segments, hit))
    }
}

/// The number of each segment, and its bytes.
pub type Segments = Vec<(u64, Vec<u8>)>;

/// The frame that a byte of a segment belongs to; the header belongs to the first frame.
fn frame_at(frames: &[FrameSpec], at: usize) -> Option<usize> {
    let mut end = 32;
    frames.iter().position(|frame| {
        end += frame.encoded().len();
        at < end
    })
}
