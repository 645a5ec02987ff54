//! The lines that the guard has to hold, and their table in the documents.

use std::sync::{Mutex, OnceLock};

use super::world::{Count, Honest, World};

const SEEDS: [u64; 3] = [1, 2, 3];

/// A row of the table with one seed.
pub struct Line {
    name: &'static str,
    figure: f64,
    /// The most that is allowed.
    most: f64,
    unit: &'static str,
}

/// Of messages that passed, at most so many.
pub fn messages(name: &'static str, most: u32, figure: impl Into<f64>) -> Line {
    Line { name, figure: figure.into(), most: most.into(), unit: "" }
}

/// No user is refused.
pub fn none_refused(name: &'static str, refused: u32) -> Line {
    messages(name, 0, refused)
}

/// At most so many users of 100 are refused.
pub fn refused(name: &'static str, most: f64, of: Count) -> Line {
    Line { name, figure: of.per_cent(), most, unit: " %" }
}

pub fn growth(name: &'static str, most: f64, figure: f64) -> Line {
    Line { name, figure, most, unit: " times" }
}

/// Measures lines for each seed, prints them, compares them with the documents, and fails if one does not hold.
pub fn hold<const N: usize>(measure: impl Fn(u64) -> [Line; N]) {
    let measured = SEEDS.map(measure);
    for place in 0..N {
        let lines = measured.each_ref().map(|lines| &lines[place]);
        let figures = lines.map(|Line { figure, unit, .. }| {
            let decimals = usize::from(figure.fract() >= 0.05);
            format!("{figure:.decimals$}{unit}")
        });
        let name = lines[0].name;
        let is_same = figures.iter().all(|figure| *figure == figures[0]);
        let row = format!("| {name} | {} |", if is_same { figures[0].clone() } else { figures.join(", ") });
        println!("{row}");
        for (seed, Line { figure, most, .. }) in std::iter::zip(SEEDS, lines) {
            assert!(figure <= most, "{name}: {figure} with seed {seed}, at most {most}");
        }
        compare_document(name, &row);
    }
}

/// `UPDATE_DOCS=1` writes the row into the document.
fn compare_document(name: &str, row: &str) {
    static WRITES: Mutex<()> = Mutex::new(());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/internals/guard.md");
    let _one_at_a_time = WRITES.lock().expect("no panic");
    let document = std::fs::read_to_string(path).expect("guard.md");
    let begin = format!("| {name} |");
    let old =
        document.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("no row {name}"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, document.replace(old, row)).expect("guard.md");
    } else {
        assert_eq!(old, row, "UPDATE_DOCS=1 writes the row again");
    }
}

/// A service with 14 days of 9,000 users, made once for each seed.
pub fn old(seed: u64) -> World {
    static WORLDS: [OnceLock<World>; SEEDS.len()] = [const { OnceLock::new() }; SEEDS.len()];
    let place = SEEDS.iter().position(|known| *known == seed).expect("a seed of the table");
    WORLDS[place].get_or_init(|| World::old(seed, Honest::of(9_000))).clone()
}
