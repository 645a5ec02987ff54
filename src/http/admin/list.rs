//! Lists with filters in the address: how a page reads them, the addresses of its neighbours, and the list as CSV.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;

use super::{AdminRequest, moment};
use crate::domain::{Sid, Timestamp};
use crate::http::response::Response;
use crate::http::v2::params::{Fields, PageToken, Parameters, Whole, parameters, utc_time};
use crate::registry::{RegistryError, Service};

/// Rows on a page.
pub const ROWS: usize = 50;

/// Rows in a CSV file.
const CSV_ROWS: usize = 5_000;

/// Records that are read for one page, up to 512 more. Where these do not fill it, the page leads on to older ones.
pub const READ: usize = 20_000;

parameters! {
    /// The place of a page in its list.
    struct Place {
        /// Which page, from 0.
        "page" = "0" => number: Option<Whole<0, 1_000>>,
        /// When the first page was asked for: what came later moves nothing.
        "began" = "PT1700000000000" => began: Option<PageToken>,
    }
}

/// A list as its address asks for it.
pub struct List {
    pub path: String,
    /// The fields of the form of filters.
    pub filters: Vec<Field>,
    /// What is wrong with the address.
    pub problem: Option<String>,
    pub is_csv: bool,
    fields: Fields,
    names: &'static [&'static str],
    number: usize,
    began: Timestamp,
}

/// A field of a form: a choice if it has options, else a text.
pub struct Field {
    pub name: String,
    pub label: String,
    pub about: String,
    pub value: String,
    pub placeholder: &'static str,
    /// Values and their words.
    pub options: Vec<(String, String)>,
}

impl Field {
    pub fn is(&self, value: &str) -> bool {
        self.value == value
    }
}

/// What follows a page of a list.
pub struct Pager {
    pub newer: Option<String>,
    pub older: Option<String>,
    /// Where the search goes on, and from when.
    pub further: Option<(String, String)>,
    /// Records that were read at most.
    pub read: usize,
    /// Empty for a list that has no file.
    pub csv: String,
}

impl Pager {
    pub fn without_csv(self) -> Self {
        Self { csv: String::new(), ..self }
    }
}

impl List {
    /// The list that the address of this page asks for. No filters: one of them is wrong.
    pub fn read<F: Parameters>(request: &AdminRequest<'_>, path: String) -> (Self, Option<F>) {
        let fields = Fields::of_form(request.head.uri.query().unwrap_or_default().as_bytes());
        let now = request.now().plus(Duration::from_millis(1));
        let read = F::read(&fields).and_then(|filters| Ok((filters, Place::read(&fields)?)));
        let is_csv = fields.text("as").is_ok_and(|form| form.as_deref() == Some("csv"));
        let (filters, problem) = (Vec::new(), None);
        let names = F::NAMES;
        let list = Self { path, filters, problem, is_csv, fields, names, number: 0, began: now };
        match read {
            Ok((filters, Place { number, began })) => {
                let (number, began) = (number.unwrap_or(0) as usize, began.unwrap_or(now));
                (Self { number, began, ..list }, Some(filters))
            }
            Err(error) => {
                let problem = Some(error.status_and_message(now).1.into_owned());
                (Self { problem, ..list }, None)
            }
        }
    }

    /// The service of a filter, or what is wrong with it, which the page says.
    pub fn service(
        &mut self,
        request: &AdminRequest<'_>,
        asked: Option<Sid>,
    ) -> Result<Option<Arc<Service>>, RegistryError> {
        let found = asked.map(|sid| request.v2.registry.service(&sid)).transpose();
        found.inspect_err(|error| self.problem = Some(format!("Invalid parameter `service`: {error}")))
    }

    /// Adds a text to the form.
    pub fn text(&mut self, name: &str, label: &str) {
        self.choice(name, label, [] as [(&str, &str); 0]);
    }

    /// Adds a choice to the form. A value of the address that is no option is one.
    pub fn choice<V: ToString, W: ToString>(
        &mut self,
        name: &str,
        label: &str,
        options: impl IntoIterator<Item = (V, W)>,
    ) {
        let value = self.given(name);
        let mut options: Vec<(String, String)> =
            options.into_iter().map(|(value, words)| (value.to_string(), words.to_string())).collect();
        if !options.is_empty() {
            options.insert(0, (String::new(), "all".to_owned()));
            if !options.iter().any(|(known, _)| *known == value) {
                options.push((value.clone(), value.clone()));
            }
        }
        let (name, label) = (name.to_owned(), label.to_owned());
        let (about, placeholder) = (String::new(), "");
        self.filters.push(Field { name, label, about, value, placeholder, options });
    }

    /// Adds the time to the form, and shows what is given as the placeholder does.
    pub fn times(&mut self) {
        for (name, label) in [("since", "Since, UTC"), ("until", "Before, UTC")] {
            self.text(name, label);
            if let Some(field) = self.filters.last_mut() {
                field.placeholder = "2027-01-31 12:00";
                let shown = utc_time(&field.value).map(moment);
                field.value = shown.map_or_else(
                    || field.value.clone(),
                    |shown| shown.strip_suffix(":00").unwrap_or(&shown).to_owned(),
                );
            }
        }
    }

    /// The value in the address.
    pub fn given(&self, name: &str) -> String {
        self.fields.given(&[name]).next().map(|(_, value)| value.to_owned()).unwrap_or_default()
    }

    /// The end of the list in time, of which nothing moves while a person turns pages.
    pub fn until(&self, asked: Option<Timestamp>) -> Timestamp {
        asked.map_or(self.began, |asked| asked.min(self.began))
    }

    pub const fn skip(&self) -> usize {
        if self.is_csv { 0 } else { self.number * ROWS }
    }

    pub const fn limit(&self) -> usize {
        if self.is_csv { CSV_ROWS } else { ROWS }
    }

    /// The same filters with these in place of their values; an empty one is none.
    pub fn address(&self, changed: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let is_kept = |name: &str| !changed.iter().any(|(other, _)| *other == name);
        query.extend_pairs(
            self.fields.given(self.names).filter(|(name, value)| is_kept(name) && !value.is_empty()),
        );
        query.extend_pairs(changed.iter().filter(|(_, value)| !value.is_empty()));
        format!("{}?{}", self.path, query.finish())
    }

    /// The neighbours of this page. `stopped` is where reading ended before the page was full.
    pub fn pager(&self, has_more: bool, stopped: Option<Timestamp>) -> Pager {
        let began = format!("PT{}", self.began.as_millis());
        let page = |number: usize| self.address(&[("page", &number.to_string()), ("began", &began)]);
        let further = stopped.filter(|_| !has_more).map(|stopped| {
            let until = stopped.plus(Duration::from_millis(1));
            (self.address(&[("until", &until.rfc3339_millis().to_string())]), moment(until))
        });
        Pager {
            newer: self.number.checked_sub(1).map(page),
            older: has_more.then(|| page(self.number + 1)),
            further,
            read: READ,
            csv: self.address(&[("as", "csv")]),
        }
    }
}

/// The page with its status.
pub fn with_status(is_wrong: bool, page: Response) -> Response {
    let status = if is_wrong { StatusCode::BAD_REQUEST } else { page.status };
    Response { status, ..page }
}

/// A file for spreadsheets.
pub fn csv<const N: usize>(
    disposition: &'static str,
    columns: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Response {
    let mut text = columns.join(",") + "\r\n";
    for row in rows {
        text.push_str(&row.map(|cell| quoted(&cell)).join(","));
        text.push_str("\r\n");
    }
    let headers = [
        ("content-disposition", disposition),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ];
    Response::page("text/csv; charset=utf-8", &headers, text)
}

/// A cell, which no spreadsheet takes for a formula.
fn quoted(cell: &str) -> String {
    let is_number = cell.strip_prefix('+').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number;
    let guard = if is_formula { "'" } else { "" };
    format!("\"{guard}{}\"", cell.replace('"', "\"\""))
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
            ("+1415*****71", "\"+1415*****71\""),
        ] {
            assert_eq!(quoted(cell), text);
        }
    }
}
