//! What a run measured, told three ways: a table for a terminal, JSON for scripts, a page for people.
//!
//! All three rest on one [`summary`]. They measure nothing and decide nothing: from the same results comes the same
//! text, and a figure that is missing or is no number is shown as missing.

mod axis;
mod figures;
mod finite;
mod html;
mod json;
mod lines;
mod over_time;
mod percentiles;
mod plot;
pub mod summary;
mod table;

pub(super) use figures::count;
pub use html::html;
pub use json::json;
pub use table::table;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
