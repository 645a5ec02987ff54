//! Which files of the snapshot's directory are its layers, and which can go.
//!
//! A layer is named after the journal segments whose changes it has: `0000000000-0000000017.layer`. Together they
//! follow one another without a gap, from 0 on. When some are merged, the new one is there before the old ones go; so
//! there can be several ways to follow one another. All say the same, for what a layer has depends on its segments
//! only. The one counts that goes farthest with the fewest layers, and the others are left over.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::SnapshotError;

const FINISHED: &str = "layer";

/// What a layer is named with while it is being written.
pub(super) const UNFINISHED: &str = "new";

/// The name of the layer with the changes of the segments from `first` to `last`.
pub(super) fn name(first: u64, last: u64) -> String {
    format!("{first:010}-{last:010}.{FINISHED}")
}

/// What was found in the directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The layers, the oldest first: the segments from and to which they go.
    pub(super) layers: Vec<(u64, u64)>,
    /// What crashes have left.
    pub(super) left_over: Vec<PathBuf>,
}

/// Looks at the directory of a snapshot.
pub(super) fn look(directory: &Path) -> Result<Found, SnapshotError> {
    let failed = || super::failed("read", directory);
    let (mut all, mut left_over) = (Vec::new(), Vec::new());
    let entries = std::fs::read_dir(directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            SnapshotError::Damaged { path: directory.to_owned(), detail: "it is missing".into() }
        }
        _ => failed()(error),
    })?;
    for entry in entries {
        let path = entry.map_err(failed())?.path();
        let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        match file_name.rsplit_once('.') {
            Some((range, FINISHED)) => all.extend(range_in(range)),
            Some((range, UNFINISHED)) if range_in(range).is_some() => left_over.push(path),
            // Whatever it is, it is not ours.
            _ => {}
        }
    }
    let layers =
        chain(&all).map_err(|detail| SnapshotError::Damaged { path: directory.to_owned(), detail })?;
    let others = all.into_iter().filter(|range| !layers.contains(range));
    left_over.extend(others.map(|(first, last)| directory.join(name(first, last))));
    Ok(Found { layers, left_over })
}

/// How many bytes the layers in a directory have, those that are left over included. As far as the file system says:
/// it is for those who wait.
pub(in crate::embedded) fn bytes_in(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let layers = entries.filter(|entry| entry.file_name().to_str().and_then(last_segment_in).is_some());
    layers.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// The last segment of the layer that a file of the snapshot's directory is named after, if it is a layer's name.
pub(in crate::embedded) fn last_segment_in(file_name: &str) -> Option<u64> {
    let range = file_name.strip_suffix(FINISHED)?.strip_suffix('.')?;
    range_in(range).map(|(_, last)| last)
}

fn range_in(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once('-')?;
    let range = (first.parse().ok()?, last.parse().ok()?);
    (range.0 <= range.1 && format!("{:010}-{:010}", range.0, range.1) == text).then_some(range)
}

/// Those of `all` that follow one another from 0 on, as far as possible and as few as possible. No other may go
/// farther.
fn chain(all: &[(u64, u64)]) -> Result<Vec<(u64, u64)>, String> {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    // By the segment that would be next: how many layers lead there, and the last of them.
    let mut ways: BTreeMap<u64, (u64, Option<(u64, u64)>)> = BTreeMap::from([(0, (0, None))]);
    for (first, last) in &sorted {
        let (Some((layers, _)), Some(next)) = (ways.get(first), last.checked_add(1)) else { continue };
        let layers = layers + 1;
        if ways.get(&next).is_none_or(|(other, _)| *other > layers) {
            ways.insert(next, (layers, Some((*first, *last))));
        }
    }
    let next = ways.last_key_value().map_or(0, |(next, _)| *next);
    let mut chain = Vec::new();
    let mut back = next;
    while let Some((_, Some(layer))) = ways.get(&back) {
        chain.push(*layer);
        back = layer.0;
    }
    chain.reverse();
    if let Some((first, last)) = sorted.iter().find(|(_, last)| *last >= next) {
        let there = name(*first, *last);
        return Err(format!("a layer that begins with segment {next} is missing, though {there} is there"));
    }
    if chain.is_empty() { Err("its first layer is missing".into()) } else { Ok(chain) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_merged_layers_the_largest_count() {
        assert_eq!(chain(&[(0, 0)]), Ok(vec![(0, 0)]));
        assert_eq!(chain(&[(0, 0), (1, 1), (0, 1)]), Ok(vec![(0, 1)]));
        assert_eq!(chain(&[(8, 8), (0, 5), (6, 7), (6, 9), (8, 9)]), Ok(vec![(0, 5), (6, 9)]));
    }

    #[test]
    fn a_layer_whose_naming_failed_and_was_done_all_the_same_is_in_nobodys_way() {
        // From 6 to 9 the process knew nothing of; it went on behind 8.
        assert_eq!(chain(&[(0, 5), (6, 8), (6, 9), (9, 10)]), Ok(vec![(0, 5), (6, 8), (9, 10)]));
        assert_eq!(chain(&[(0, 5), (6, 8), (6, 9), (9, 9)]), Ok(vec![(0, 5), (6, 9)]));
    }

    #[test]
    fn when_a_layer_is_missing_it_is_said_where() {
        assert!(chain(&[]).unwrap_err().contains("its first layer is missing"));
        assert!(chain(&[(1, 4)]).unwrap_err().contains("begins with segment 0 is missing"));
        let gap = chain(&[(0, 4), (6, 7)]).unwrap_err();
        assert!(
            gap.contains("begins with segment 5 is missing, though 0000000006-0000000007.layer"),
            "{gap}"
        );
        assert!(chain(&[(0, 4), (3, 7)]).is_err());
        assert!(chain(&[(0, u64::MAX)]).is_err());
    }

    #[test]
    fn when_a_file_is_not_named_like_a_layer_it_is_none() {
        assert_eq!(range_in("0000000000-0000000017"), Some((0, 17)));
        for text in ["0-17", "0000000018-0000000017", "0000000000", "+000000000-0000000017", ""] {
            assert_eq!(range_in(text), None, "{text}");
        }
    }
}
