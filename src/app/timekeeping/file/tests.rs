use std::fs;

use tempfile::TempDir;

use super::*;

#[test]
fn what_was_written_last_is_found_again() {
    let home = TempDir::new().unwrap();
    let (mut file, found) = ClockFile::read(home.path());
    assert_eq!(found, Found::Nothing);
    for millis in 1..=5 {
        file.write(mark(millis)).unwrap();
        assert_eq!(found_in(&home), Found::Mark(mark(millis)));
    }
    // And on from there.
    let (mut file, _) = ClockFile::read(home.path());
    file.write(mark(6)).unwrap();
    assert_eq!(found_in(&home), Found::Mark(mark(6)));
}

#[test]
fn when_a_write_is_torn_at_any_byte_the_one_before_it_is_found() {
    let home = TempDir::new().unwrap();
    let (mut file, _) = ClockFile::read(home.path());
    file.write(mark(1)).unwrap();
    file.write(mark(2)).unwrap();
    let before = fs::read(file.path()).unwrap();
    file.write(mark(3)).unwrap();
    let after = fs::read(file.path()).unwrap();
    // Every byte that says something, and some of the zeros.
    let said = |at: &usize| at % SLOT_BYTES <= CHECKED_BYTES + 4 || at.is_multiple_of(512);
    for torn in (0..=2 * SLOT_BYTES).filter(said) {
        let bytes = [&after[..torn], &before[torn..]].concat();
        fs::write(file.path(), bytes).unwrap();
        let found = found_in(&home);
        assert!([Found::Mark(mark(2)), Found::Mark(mark(3))].contains(&found), "{torn}: {found:?}");
    }
}

#[test]
fn when_every_slot_is_damaged_that_is_said_and_the_next_write_heals_it() {
    let home = TempDir::new().unwrap();
    for damage in ["x".repeat(10), "x".repeat(2 * SLOT_BYTES), "x".repeat(100_000)] {
        fs::write(home.path().join("clock"), damage).unwrap();
        let (mut file, found) = ClockFile::read(home.path());
        assert!(matches!(found, Found::Damaged(_)), "{found:?}");
        file.write(mark(9)).unwrap();
        assert_eq!(found_in(&home), Found::Mark(mark(9)));
    }
}

#[test]
fn when_any_bit_of_the_only_slot_flips_it_is_not_believed() {
    let home = TempDir::new().unwrap();
    let (mut file, _) = ClockFile::read(home.path());
    file.write(mark(7)).unwrap();
    let whole = fs::read(file.path()).unwrap();
    for bit in 0..(CHECKED_BYTES + 4) * 8 {
        let mut bytes = whole.clone();
        bytes[SLOT_BYTES + bit / 8] ^= 1_u8 << (bit % 8);
        fs::write(file.path(), bytes).unwrap();
        assert!(matches!(found_in(&home), Found::Damaged(_)), "bit {bit}");
    }
}

#[test]
fn when_the_file_is_empty_or_was_only_made_there_is_nothing_in_it() {
    let home = TempDir::new().unwrap();
    for bytes in [vec![], vec![0; 10], vec![0; 2 * SLOT_BYTES]] {
        fs::write(home.path().join("clock"), bytes).unwrap();
        assert_eq!(found_in(&home), Found::Nothing);
    }
}

#[test]
fn when_its_time_is_absurd_it_is_damaged_though_its_checksum_is_right() {
    let home = TempDir::new().unwrap();
    let (mut file, _) = ClockFile::read(home.path());
    file.write(Mark { time: Timestamp::from_millis(u64::MAX), boot: None }).unwrap();
    assert!(matches!(found_in(&home), Found::Damaged(_)));
}

#[test]
fn when_somebody_removed_it_the_next_write_makes_it_anew() {
    let home = TempDir::new().unwrap();
    let (mut file, _) = ClockFile::read(home.path());
    file.write(mark(1)).unwrap();
    fs::remove_file(file.path()).unwrap();
    file.write(mark(2)).unwrap();
    assert_eq!(found_in(&home), Found::Mark(mark(2)));
    assert!(fs::metadata(file.path()).unwrap().len() <= 2 * SLOT_BYTES as u64, "it does not grow");
}

fn found_in(home: &TempDir) -> Found {
    ClockFile::read(home.path()).1
}

fn mark(millis: u64) -> Mark {
    let boot = BootId::from_bytes([7; 16]).unwrap();
    Mark { time: Timestamp::from_millis(millis), boot: Some((boot, Duration::from_millis(millis * 2))) }
}

#[test]
fn when_the_system_does_not_give_it_that_is_damage_and_no_reason_to_stop() {
    let home = TempDir::new().unwrap();
    fs::create_dir(home.path().join("clock")).unwrap();
    let (mut file, found) = ClockFile::read(home.path());
    assert!(matches!(found, Found::Damaged(_)), "{found:?}");
    assert!(file.write(mark(1)).is_err());
}
