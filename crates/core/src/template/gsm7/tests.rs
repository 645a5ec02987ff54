//! Sizes of text messages: septets and segments by 3GPP TS 23.038, UCS-2 for all else.

use super::*;

fn gsm7(units: usize, segments: usize) -> Size {
    Size { alphabet: Alphabet::Gsm7, units, segments }
}

fn ucs2(units: usize, segments: usize) -> Size {
    Size { alphabet: Alphabet::Ucs2, units, segments }
}

#[test]
fn the_alphabet_has_128_places_and_ten_behind_the_escape() {
    // The escape itself takes one position.
    assert_eq!(BASIC.chars().count() + 26 + 26 + 10, 127);
    assert_eq!(EXTENSION.chars().count(), 10);
    let all: Vec<char> = BASIC.chars().chain(EXTENSION.chars()).collect();
    assert!(all.iter().all(|c| all.iter().filter(|other| *other == c).count() == 1));
    assert!(all.iter().all(|c| !c.is_ascii_alphanumeric()));
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
