//! Lists in pages.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::error::Error;
use super::params::{Fields, PageToken, Parameter, Parameters as _, Url, Whole, is_digits, parameters};
use crate::domain::Timestamp;

/// Items on a page if the request does not say.
const USUAL_SIZE: u32 = 50;
/// Most items on a page.
const LARGEST: u32 = 1_000;
/// Last page that can be asked for: more items than are ever listed.
pub(super) const LAST_PAGE: u32 = 10_000_000;

parameters! {
    /// The parameters of every list.
    pub struct Paging {
        /// Items on a page; the default is 50. More than 1,000 are 1,000.
        "PageSize" = "50" => size: Option<PageSize>,
        /// The number of the page, from 0.
        "Page" = "0" => page: Option<Whole<0, LAST_PAGE>>,
        /// From the address of a page. Do not make one.
        "PageToken" = "PT1700000000000" => token: Option<PageToken>,
    }
}

/// The number of items on a page: any whole number from 1, of which at most [`LARGEST`] counts.
pub struct PageSize;

impl Parameter for PageSize {
    type Value = u32;

    fn find(fields: &Fields, name: &str) -> Result<Option<u32>, Error> {
        fields.parsed_scalar(name, "a whole number from 1", |text| {
            let digits = text.trim_start_matches('0');
            // Only a number that is too large for its type fails to be read.
            is_digits(digits).then(|| digits.parse().unwrap_or(LARGEST).min(LARGEST))
        })
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 1 })
    }

    fn accepts() -> String {
        "from 1".to_owned()
    }
}

/// A part of a list.
#[derive(Clone, Copy)]
pub struct Page {
    pub(super) size: u32,
    pub(super) number: u32,
    /// When the client requested the first page: items made since then move nothing.
    pub(super) since: Option<Timestamp>,
}

/// The place of a page in its list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListMeta")]
pub struct Meta {
    /// Which page this is, from 0.
    #[schemars(example = 0)]
    pub(super) page: u32,
    /// Most items on a page.
    #[schemars(example = 50)]
    pub(super) page_size: u32,
    pub(super) first_page_url: Url,
    #[schemars(with = "Option<String>", extend("format" = "uri"))]
    pub(super) previous_page_url: Option<Url>,
    pub(super) url: Url,
    /// Null for the last page.
    #[schemars(with = "Option<String>", extend("format" = "uri"))]
    pub(super) next_page_url: Option<Url>,
    /// The name of the items.
    #[schemars(example = &"KEY")]
    pub(super) key: &'static str,
}

/// The items of a page under a name of their own, and its place in the list.
#[derive(Serialize)]
pub struct Listed<T> {
    #[serde(flatten)]
    pub(super) items: BTreeMap<&'static str, Vec<T>>,
    pub(super) meta: Meta,
}

impl Page {
    pub fn read(query: &Fields) -> Result<Self, Error> {
        let Paging { size, page, token } = Paging::read(query)?;
        Ok(Self { size: size.unwrap_or(USUAL_SIZE), number: page.unwrap_or(0), since: token })
    }

    pub fn skip(self) -> usize {
        self.number as usize * self.size as usize
    }

    /// The items of this page, and one more, which tells that there is a further page.
    pub const fn limit(self) -> usize {
        self.size as usize + 1
    }

    /// Fixes the time of the first request for all pages, and returns that time; `now` for the first page.
    pub fn begun(self, now: Timestamp) -> (Self, Timestamp) {
        let since = self.since.unwrap_or(now);
        (Self { since: Some(since), ..self }, since)
    }

    /// This page of items that begin with its first one.
    pub fn of<T, V>(self, items: impl IntoIterator<Item = T>, view: impl FnMut(T) -> V) -> PageItems<V> {
        let mut rest = items.into_iter();
        let items = rest.by_ref().take(self.size as usize).map(view).collect();
        PageItems { page: self, items, has_more: rest.next().is_some() }
    }
}

pub struct PageItems<T> {
    pub page: Page,
    pub items: Vec<T>,
    /// Whether more follow on the next page.
    pub has_more: bool,
}
