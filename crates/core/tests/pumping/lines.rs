//! The lines that the guard has to hold, and their table in the documents.

use std::sync::{Mutex, OnceLock};

use super::world::{Honest, World};

pub const SEEDS: [u64; 3] = [1, 2, 3];

/// A row of the table: the name, the most that is allowed, and what figures count.
#[derive(Debug, Clone, Copy)]
pub struct Line(pub &'static str, pub f64, pub Unit);

#[derive(Debug, Clone, Copy)]
pub enum Unit {
    Messages,
    RefusedUsers,
    /// Of the users.
    RefusedPerCent,
    Times,
}

impl Line {
    fn figure(&self, figure: f64) -> String {
        let rounded = if figure.fract() < 0.05 { format!("{figure:.0}") } else { format!("{figure:.1}") };
        match self.2 {
            Unit::Messages | Unit::RefusedUsers => rounded,
            Unit::RefusedPerCent => format!("{rounded} %"),
            Unit::Times => format!("{rounded} times"),
        }
    }
}

/// Measures lines for each seed, prints them, compares them with the documents, and fails if one does not hold.
pub fn hold<const N: usize>(lines: [Line; N], measure: impl Fn(u64) -> [f64; N]) {
    let measured = SEEDS.map(measure);
    let rows: Vec<String> = std::iter::zip(0.., &lines)
        .map(|(place, line)| {
            let figures = measured.map(|figures: [f64; N]| line.figure(figures[place]));
            let is_same = figures.iter().all(|figure| *figure == figures[0]);
            let figures = if is_same { figures[0].clone() } else { figures.join(", ") };
            format!("| {} | {} |", line.0, figures)
        })
        .collect();
    println!("{}", rows.join("\n"));
    for (place, Line(name, most, _)) in lines.iter().enumerate() {
        for (seed, figures) in std::iter::zip(SEEDS, &measured) {
            assert!(figures[place] <= *most, "{name}: {} with seed {seed}, at most {most}", figures[place]);
        }
    }
    std::iter::zip(&lines, &rows).for_each(|(line, row)| compare_document(line.0, row));
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
