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
fn a_text_is_parted_by_its_alphabet_and_no_character_is_torn() {
    for (character, fitting) in [
        ("ä", [160, 306]),
        // Behind the escape it counts twice. 76 in a part leave one septet of it unused.
        ("€", [80, 152]),
        ("ж", [70, 134]),
        ("😀", [35, 66]),
    ] {
        for (count, parts) in std::iter::zip(fitting, 1..) {
            assert_eq!(parts_of(&character.repeat(count)), parts, "{count} of {character}");
            assert_eq!(parts_of(&character.repeat(count + 1)), parts + 1, "{count} of {character}, and one");
        }
    }
    // A provider may be told to send all texts in UCS-2.
    assert_eq!(["a".repeat(70), "a".repeat(89)].map(|text| Alphabet::Ucs2.parts(&text)), [1, 2]);
    // One foreign character makes all of it UCS-2.
    let texts = [69, 70].map(|count| format!("{}–", "a".repeat(count)));
    assert_eq!(texts.map(|text| parts_of(&text)), [1, 2]);
}
