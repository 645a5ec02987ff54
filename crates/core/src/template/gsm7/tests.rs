//! Sizes of text messages: septets and segments by 3GPP TS 23.038, UCS-2 for all else.

use std::collections::BTreeMap;

use super::*;

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
    for (count, parts) in [(0, 1), (160, 1), (161, 2), (306, 2), (307, 3)] {
        assert_eq!(parts_of(&"ä".repeat(count)), parts);
    }
}

#[test]
fn a_character_behind_the_escape_counts_twice_and_is_not_torn() {
    // 76 in a part leave one septet of it unused.
    for (count, parts) in [(80, 1), (81, 2), (152, 2), (153, 3)] {
        assert_eq!(parts_of(&"€".repeat(count)), parts);
    }
}

#[test]
fn one_foreign_character_makes_all_of_it_ucs2() {
    for (count, parts) in [(70, 1), (71, 2), (134, 2), (135, 3)] {
        assert_eq!(parts_of(&"ж".repeat(count)), parts);
    }
    assert_eq!(parts_of(&format!("{}–", "a".repeat(69))), 1);
    assert_eq!(parts_of(&format!("{}–", "a".repeat(70))), 2);
    assert_eq!(parts_of(&"😀".repeat(36)), 2);
}
