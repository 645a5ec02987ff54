//! A counter on the disk: JSON in the envelope, with no value in it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Page;
use crate::domain::{Sid, SidKind, Timestamp};
use crate::limit::decide::{Counts, Mark, Tally};
use crate::limit::desk::PageError;
use crate::store::record;

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CounterRecord {
    /// What tells the value from another with the same subject: 16 hexadecimal digits.
    v: String,
    /// One for each bucket.
    b: Vec<TallyRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TallyRecord {
    /// `BL`.
    s: String,
    /// Since when it is complete; milliseconds, as all times.
    f: u64,
    /// When it ends.
    e: u64,
    /// When how many passed.
    n: Vec<(u64, u32)>,
}

pub fn encode(page: &Page) -> Bytes {
    let tally = |tally: &Tally| TallyRecord {
        s: tally.bucket.to_string(),
        f: tally.since.as_millis(),
        e: tally.ends.as_millis(),
        n: tally.marks.iter().map(|mark| (mark.at.as_millis(), mark.count)).collect(),
    };
    let says =
        CounterRecord { v: format!("{:016x}", page.tag), b: page.counts.tallies.iter().map(tally).collect() };
    #[expect(clippy::expect_used, reason = "strings and numbers in vectors have no part that JSON lacks")]
    let body = serde_json::to_vec(&says).expect("plain data");
    record::seal(VERSION, &body)
}

pub fn decode(sealed: &[u8]) -> Result<Page, PageError> {
    let (version, body) = record::open(sealed)?;
    if version != VERSION {
        return Err(PageError::Version(version));
    }
    let CounterRecord { v, b } = serde_json::from_slice(body)?;
    let tag = u64::from_str_radix(&v, 16).map_err(|_| PageError::Part("v"))?;
    let tallies = b.into_iter().map(read_tally).collect::<Result<_, _>>()?;
    Ok(Page { tag, counts: Counts { tallies } })
}

fn read_tally(TallyRecord { s, f, e, n }: TallyRecord) -> Result<Tally, PageError> {
    let bucket = Sid::parse(SidKind::Bucket, &s).ok_or(PageError::Part("s"))?;
    if !n.is_sorted_by_key(|(at, _)| *at) {
        return Err(PageError::Part("n"));
    }
    let marks = n.into_iter().map(|(at, count)| Mark { at: Timestamp::from_millis(at), count }).collect();
    Ok(Tally { bucket, since: Timestamp::from_millis(f), ends: Timestamp::from_millis(e), marks })
}
