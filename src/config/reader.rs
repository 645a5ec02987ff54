//! Takes values out of what the sources say, and notes what is wrong with them.

use figment::value::Tag;
use figment::{Figment, Profile};

use super::effective::Effective;
use super::report::{ConfigError, Report};
use super::value::{Given, Setting};

/// A value and where it came from.
#[derive(Debug)]
pub struct Taken<T> {
    /// The value.
    pub value: T,
    /// A file and key, a variable, a flag, or the default.
    pub origin: String,
}

/// The stacked sources, and the report on them.
pub struct Reader<'a> {
    figment: &'a Figment,
    /// What was found so far.
    pub report: &'a mut Report,
    rows: Vec<Effective>,
}

impl<'a> Reader<'a> {
    /// Reads from `figment` and reports to `report`.
    pub const fn new(figment: &'a Figment, report: &'a mut Report) -> Self {
        Self { figment, report, rows: Vec::new() }
    }

    /// The value of a key. `None` when no source has one, or after noting that it is wrong.
    pub fn take<T: Setting>(&mut self, key: &str, given: Given<T>) -> Option<Taken<T>> {
        match given {
            Given::Absent => None,
            Given::Read(value, tag) => {
                let taken = Taken { value, origin: self.origin(tag, key) };
                self.row(key, taken.value.shown(), &taken.origin);
                Some(taken)
            }
            Given::Wrong { shown, tag } => {
                self.report.error(ConfigError {
                    subject: key.to_owned(),
                    given: shown,
                    problem: format!("it must be {}", T::accepted()),
                    origin: Some(self.origin(tag, key)),
                });
                None
            }
        }
    }

    /// The value of a key that has a default. After an error, which stops the start anyway, any
    /// valid value.
    pub fn value<T: Setting>(&mut self, key: &str, given: Given<T>) -> T {
        self.take(key, given).map_or_else(T::placeholder, |taken| taken.value)
    }

    /// Adds something that follows from several keys to what `--print-config` shows.
    pub fn row(&mut self, key: &str, value: String, origin: &str) {
        self.rows.push(Effective { key: key.to_owned(), value, origin: origin.to_owned() });
    }

    /// Every value that was taken, in that order.
    pub fn into_rows(self) -> Vec<Effective> {
        self.rows
    }

    /// Where the value of a key came from, accepted or not, if there is one.
    pub fn origin_of<T>(&self, key: &str, given: &Given<T>) -> Option<String> {
        given.tag().map(|tag| self.origin(tag, key))
    }

    /// How a person would name the place that a value came from.
    fn origin(&self, tag: Tag, key: &str) -> String {
        let layer = self.figment.get_metadata(tag);
        layer.map(|layer| layer.interpolate(&Profile::Default, &[key])).unwrap_or_default()
    }
}
