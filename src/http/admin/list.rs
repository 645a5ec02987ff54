//! Lists with filters in the address: how a page reads them, their form, the addresses of their neighbours, and a list as
//! CSV.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::page::{self, AdminRequest};
use crate::config::members;
use crate::domain::Timestamp;
use crate::http::form::Form;
use crate::http::openapi::{Property, properties};
use crate::http::pages::address;
use crate::http::values::{self, utc_time};
use crate::registry::Service;
use crate::shard::LogRange;

/// Rows on a page, unless they are long. Each page stays below 30 kB.
const ROWS: usize = 40;

/// Rows in a CSV file.
const CSV_ROWS: usize = 5_000;

/// The place of a page in its list.
#[derive(Deserialize, JsonSchema)]
struct Place {
    /// Which page, from 0.
    pub page: Option<values::Whole<0, 1_000>>,
    /// When its first page was read, in milliseconds: what arrived later is on none of its pages.
    pub at: Option<values::Moment>,
}

/// A list as its address asks for it.
pub struct List {
    pub path: String,
    /// The fields of the form of filters.
    pub filters: Vec<Field>,
    /// What is wrong with the address.
    pub problem: Option<String>,
    /// Whether it can be had as a file.
    pub has_file: bool,
    /// Rows on a page.
    pub rows: usize,
    is_csv: bool,
    form: Form,
    names: &'static [&'static str],
    number: usize,
    at: Timestamp,
    has_more: bool,
}

/// A field of a form: a choice if it has options, else a text.
pub struct Field {
    pub name: String,
    pub label: String,
    pub about: String,
    pub value: String,
    pub is_time: bool,
    /// Values and their words.
    pub options: Vec<(String, String)>,
}

impl Field {
    /// A field for values of this schema, and perhaps for none.
    pub fn new(name: &str, label: &str, schema: &Value, value: String, none: Option<&str>) -> Self {
        let words =
            if schema["type"] == "boolean" { &Value::from(vec!["true", "false"]) } else { &schema["enum"] };
        let words = words.as_array().into_iter().flatten().map(text_of).map(|word| (word.clone(), word));
        let mut field = Self {
            name: name.to_owned(),
            label: label.to_owned(),
            about: String::new(),
            value,
            is_time: false,
            options: Vec::new(),
        };
        field.choose_from(words.collect(), none);
        field
    }

    /// Turns the field into a choice of options, with the present value among them.
    pub fn choose_from(&mut self, mut options: Vec<(String, String)>, none: Option<&str>) {
        if options.is_empty() {
            return;
        }
        if let Some(words) = none {
            options.insert(0, (String::new(), words.to_owned()));
        }
        if !options.iter().any(|(known, _)| *known == self.value) {
            options.push((self.value.clone(), self.value.clone()));
        }
        self.options = options;
    }

    pub fn is(&self, value: &str) -> bool {
        self.value == value
    }
}

/// A value of a setting as a form has it.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The option of a filter that lets everything pass.
pub const ALL: Option<&str> = Some("all");

impl List {
    /// The list that the address of this page asks for, and its filters. If one of them is wrong, the list has no rows. The
    /// doc comments of the fields of `F` are the labels of the form.
    pub fn read<F: DeserializeOwned + Default + JsonSchema>(
        request: &AdminRequest,
        path: impl Into<String>,
    ) -> (Self, F) {
        let form = Form::of_text(request.call.query().as_bytes());
        let read = form.read().and_then(|filters| Ok((filters, form.read()?)));
        let mut list = Self {
            path: path.into(),
            filters: properties::<F>(&[]).iter().map(|property| filter(request, &form, property)).collect(),
            problem: None,
            has_file: false,
            rows: ROWS,
            is_csv: form.first("as") == "csv",
            names: members::<F>(),
            form,
            number: 0,
            at: request.now(),
            has_more: false,
        };
        match read {
            Ok((filters, Place { page, at })) => {
                list.number = page.map_or(0, |page| page.0 as usize);
                // Further pages, and only they, have the time of the first one.
                list.at = at.filter(|_| list.number > 0).map_or(list.at, |at| at.0);
                (list, filters)
            }
            Err(error) => {
                list.problem = Some(error.to_string());
                (list, F::default())
            }
        }
    }

    /// The service of a filter. If there is none, the page says so and has no rows.
    pub fn service(
        &mut self,
        request: &AdminRequest,
        asked: Option<values::ServiceSid>,
    ) -> Option<Arc<Service>> {
        let found = request.running.registry.service(&asked?.0);
        found.map_err(|error| self.problem = Some(format!("Invalid parameter `service`: {error}"))).ok()
    }

    /// The value in the address.
    pub fn given(&self, name: &str) -> &str {
        self.form.first(name)
    }

    /// The records of this page, from `since` until `until`, and one more.
    pub fn range<F>(
        &self,
        since: Option<values::UtcTime>,
        until: Option<values::UtcTime>,
        fits: F,
    ) -> LogRange<F> {
        let since = since.map(|since| since.0).unwrap_or_default();
        let until = self.until(until.map(|until| until.0));
        LogRange { since, until, fits, skip: self.skip(), limit: self.limit() + 1 }
    }

    /// The moment before which its rows are: on further pages also that of the first page.
    pub fn until(&self, until: Option<Timestamp>) -> Option<Timestamp> {
        let pinned = self.at.plus(Duration::from_millis(1));
        if self.number == 0 { until } else { Some(until.map_or(pinned, |until| until.min(pinned))) }
    }

    pub const fn skip(&self) -> usize {
        if self.is_file() { 0 } else { self.number * self.rows }
    }

    pub const fn limit(&self) -> usize {
        match self.problem {
            Some(_) => 0,
            None if self.is_file() => CSV_ROWS,
            None => self.rows,
        }
    }

    /// The records of this page, which were read from its first one on, with one more if there is one.
    pub fn take<T>(&mut self, mut found: Vec<T>) -> Vec<T> {
        self.has_more = self.problem.is_none() && found.len() > self.limit();
        found.truncate(self.limit());
        found
    }

    /// The items of this page, of all.
    pub fn take_of_all<T>(&mut self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        self.take(all.into_iter().skip(self.skip()).take(self.limit() + 1).collect())
    }

    /// The same filters with these in place of their values; an empty one is none.
    pub fn address(&self, changed: &[(&str, &str)]) -> String {
        let is_changed = |name: &str| changed.iter().any(|(other, _)| *other == name);
        let kept = self.chosen().filter(|(name, _)| !is_changed(name));
        address(&self.path, kept.chain(changed.iter().copied().filter(|(_, value)| !value.is_empty())))
    }

    fn page(&self, number: usize) -> String {
        let at = self.at.as_millis().to_string();
        self.address(&[("page", &number.to_string()), ("at", if number == 0 { "" } else { &at })])
    }

    pub fn newer(&self) -> Option<String> {
        self.number.checked_sub(1).map(|number| self.page(number))
    }

    pub fn older(&self) -> Option<String> {
        self.has_more.then(|| self.page(self.number + 1))
    }

    /// The address of the file.
    pub fn file(&self) -> Option<String> {
        self.has_file.then(|| self.address(&[("as", "csv")]))
    }

    /// Whether the list is to be a file.
    pub const fn is_file(&self) -> bool {
        self.is_csv && self.has_file && self.problem.is_none()
    }

    /// The filters that have a value, and their values.
    pub fn chosen(&self) -> impl Iterator<Item = (&str, &str)> {
        self.form.given(self.names).filter(|(_, value)| !value.is_empty())
    }

    /// Removes every filter.
    pub fn clear(&mut self) {
        self.form = Form::default();
    }
}

/// The page of a list, whose address may be wrong.
pub fn html(list: &List, page: &impl Template) -> Response {
    let status = if list.problem.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    (status, page::html(page)).into_response()
}

/// The field of a filter. It shows a time in one form.
fn filter(request: &AdminRequest, form: &Form, param: &Property) -> Field {
    let value = form.first(&param.name).to_owned();
    let mut field = Field::new(&param.name, &param.about, &param.schema, value, ALL);
    match param.name.as_str() {
        "service" => {
            let services = request.services().into_iter().map(|(sid, title)| (sid.to_string(), title));
            field.choose_from(services.collect(), ALL);
        }
        "since" | "until" => {
            field.is_time = true;
            if let Some(time) = utc_time(&field.value) {
                field.value = time.rfc3339_seconds().to_string().replace('Z', "");
            }
        }
        _ => {}
    }
    field
}

/// A file for spreadsheets, with the first line `columns`.
pub fn csv<const N: usize>(
    disposition: &'static str,
    columns: &str,
    rows: impl Iterator<Item = [String; N]>,
) -> Response {
    let headers = [
        ("content-type", "text/csv; charset=utf-8"),
        ("content-disposition", disposition),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ];
    (headers, written(columns, rows)).into_response()
}

fn written<const N: usize>(columns: &str, rows: impl Iterator<Item = [String; N]>) -> String {
    let cell = |cell: String| format!("\"{}\"", no_formula(cell).replace('"', "\"\""));
    let rows = rows.map(|row| row.map(cell).join(","));
    std::iter::once(columns.to_owned()).chain(rows).map(|line| line + "\r\n").collect()
}

/// A cell that no spreadsheet takes for a formula. A phone number begins with a plus, perhaps with some of its digits
/// masked.
fn no_formula(cell: String) -> String {
    let is_number = cell.strip_prefix('+').is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.chars().all(|c| c.is_ascii_digit() || c == '*')
    });
    // Also the full-width ones, which spreadsheets of East Asia take for the others.
    let of_formula = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    if !is_number && cell.starts_with(of_formula) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_cell_and_no_formula() {
        for (cell, text) in [
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=HYPERLINK(1)", "\"'=HYPERLINK(1)\""),
            ("+SUM(1)", "\"'+SUM(1)\""),
            ("＝1+1", "\"'＝1+1\""),
            ("+1+HYPERLINK(\"//e.vi\",\"x\")", "\"'+1+HYPERLINK(\"\"//e.vi\"\",\"\"x\"\")\""),
            ("+1415*****71", "\"+1415*****71\""),
        ] {
            let file = written("name", std::iter::once([cell.to_owned()]));
            assert_eq!(file, format!("name\r\n{text}\r\n"));
        }
    }
}
