//! Sizes of text messages: septets and segments by 3GPP TS 23.038, UCS-2 for all else.

use std::collections::BTreeMap;

use super::*;

fn gsm7(units: usize, segments: usize) -> Size {
    Size { alphabet: Alphabet::Gsm7, units, segments }
}

fn ucs2(units: usize, segments: usize) -> Size {
    Size { alphabet: Alphabet::Ucs2, units, segments }
}

#[test]
fn exactly_the_characters_of_the_published_alphabet_have_septets() {
    let table = include_str!("../../../../../tests/facts/gsm-03.38.tsv");
    let row = |line: &str| {
        let (septets, character) = line.split_once('\t')?;
        Some((char::from_u32(u32::from_str_radix(character, 16).ok()?)?, septets.len() / 2))
    };
    let published: BTreeMap<char, usize> = table.lines().filter_map(row).collect();
    assert_eq!(published.len(), 137);
    for character in '\0'..=char::MAX {
        assert_eq!(septets(character), published.get(&character).copied(), "{character:?}");
    }
}

#[test]
fn a_text_in_the_default_alphabet_is_parted_at_160_and_153() {
    for (count, segments) in [(0, 1), (160, 1), (161, 2), (306, 2), (307, 3)] {
        assert_eq!(size(&"ä".repeat(count)), gsm7(count, segments));
    }
}

#[test]
fn a_character_behind_the_escape_counts_twice_and_is_not_torn() {
    assert_eq!(size(&"€".repeat(80)), gsm7(160, 1));
    assert_eq!(size(&"€".repeat(81)), gsm7(162, 2));
    // 76 in a part leave one septet of it unused.
    assert_eq!(size(&"€".repeat(152)), gsm7(304, 2));
    assert_eq!(size(&"€".repeat(153)), gsm7(306, 3));
}

#[test]
fn one_foreign_character_makes_all_of_it_ucs2() {
    for (count, segments) in [(70, 1), (71, 2), (134, 2), (135, 3)] {
        assert_eq!(size(&"ж".repeat(count)), ucs2(count, segments));
    }
    assert_eq!(size(&format!("{}–", "a".repeat(69))), ucs2(70, 1));
    assert_eq!(size(&"😀".repeat(36)), ucs2(72, 2));
    assert_eq!(foreign("Kod: ž–ž ç"), ['ž', '–', 'ç']);
    assert!(foreign("Ça Ä é {€}").is_empty());
}
