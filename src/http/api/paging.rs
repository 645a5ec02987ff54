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
const LAST_PAGE: u32 = 10_000_000;

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
}

/// A page of a list, as a request asks for it.
pub struct Page {
    size: u32,
    number: u32,
    /// When the client requested the first page: items made since then move nothing.
    since: Option<Timestamp>,
    now: Timestamp,
    /// The address of the list with the filters, to which the page is added.
    address: String,
}

/// The place of a page in its list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListMeta")]
pub struct Meta {
    /// Which page this is, from 0.
    page: u32,
    /// Most items on a page.
    page_size: u32,
    first_page_url: Url,
    #[schemars(with = "Option<String>", extend("format" = "uri"))]
    previous_page_url: Option<Url>,
    url: Url,
    /// Null for the last page.
    #[schemars(with = "Option<String>", extend("format" = "uri"))]
    next_page_url: Option<Url>,
    /// The name of the items.
    key: &'static str,
}

/// The items of a page under a name of their own, and its place in the list.
#[derive(Serialize)]
pub struct Listed<T> {
    #[serde(flatten)]
    items: BTreeMap<&'static str, Vec<T>>,
    meta: Meta,
}

impl Page {
    /// Reads the page of the list at `path` that is asked for at `now`. Addresses of pages repeat the parameters with
    /// these names.
    pub fn read(query: &Fields, filters: &[&str], path: &str, now: Timestamp) -> Result<Self, Error> {
        let Paging { size, page, token: since } = Paging::read(query)?;
        let mut address = url::form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
        let address = address.extend_pairs(query.given(filters)).finish();
        Ok(Self { size: size.unwrap_or(USUAL_SIZE), number: page.unwrap_or(0), since, now, address })
    }

    pub fn skip(&self) -> usize {
        self.number as usize * self.size as usize
    }

    /// The items of this page, and one more, which tells that there is a further page.
    pub const fn limit(&self) -> usize {
        self.size as usize + 1
    }

    /// The end in time of a list whose pages go on from the first request: items made since then do not move those on
    /// later pages.
    pub fn until(&mut self, asked: Option<Timestamp>) -> Timestamp {
        let since = *self.since.get_or_insert(self.now);
        asked.map_or(since, |asked| asked.min(since))
    }

    /// This page of items that begin with its first one.
    pub fn of<T, V>(
        &self,
        key: &'static str,
        items: impl IntoIterator<Item = T>,
        view: impl FnMut(T) -> V,
    ) -> Listed<V> {
        let mut rest = items.into_iter();
        let items = rest.by_ref().take(self.size as usize).map(view).collect();
        let has_more = rest.next().is_some() && self.number < LAST_PAGE;
        let meta = Meta {
            page: self.number,
            page_size: self.size,
            first_page_url: self.url(0),
            previous_page_url: self.number.checked_sub(1).map(|number| self.url(number)),
            url: self.url(self.number),
            next_page_url: has_more.then(|| self.url(self.number + 1)),
            key,
        };
        Listed { items: BTreeMap::from([(key, items)]), meta }
    }

    fn url(&self, number: u32) -> Url {
        let and = if self.address.ends_with('?') { "" } else { "&" };
        // The first page fixes the time anew.
        let since = self.since.filter(|_| number > 0);
        let token = since.map_or_else(String::new, |since| format!("&PageToken=PT{}", since.as_millis()));
        Url(format!("{}{and}PageSize={}&Page={number}{token}", self.address, self.size))
    }
}
