//! Lists in pages.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::error::Error;
use super::params::{Fields, PageToken, Parameters as _, Whole, parameters};
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
        /// Things on a page; 50 if it is not given.
        "PageSize" = "50" => size: Option<Whole<1, LARGEST>>,
        /// Which page, from 0.
        "Page" = "0" => page: Option<Whole<0, LAST_PAGE>>,
        /// Only from an address that a list told.
        "PageToken" = "PT1700000000000" => token: Option<PageToken>,
    }
}

/// A part of a list.
#[derive(Clone, Copy)]
pub struct Page {
    size: u32,
    number: u32,
    /// The moment at which the first page was asked for, where pages go on from it: what came since moves nothing.
    since: Option<Timestamp>,
}

/// What stands beside a page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListMeta)]
pub struct Meta {
    /// Which page this is, from 0.
    page: u32,
    /// Most items on a page.
    page_size: u32,
    /// The first page.
    #[schema(format = "uri")]
    first_page_url: String,
    /// The page before this one.
    #[schema(required, format = "uri")]
    previous_page_url: Option<String>,
    /// This page.
    #[schema(format = "uri")]
    url: String,
    /// The page behind this one; null for the last.
    #[schema(required, format = "uri")]
    next_page_url: Option<String>,
    /// The name of the items.
    key: &'static str,
}

/// A page: its items under a name of their own, and what stands beside them.
pub struct Listed<T> {
    key: &'static str,
    items: Vec<T>,
    meta: Meta,
}

impl<T: Serialize> Serialize for Listed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(self.key, &self.items)?;
        map.serialize_entry("meta", &self.meta)?;
        map.end()
    }
}

impl Page {
    pub fn read(query: &Fields) -> Result<Self, Error> {
        let Paging { size, page, token } = Paging::read(query)?;
        Ok(Self {
            size: size.map_or(USUAL_SIZE, |Whole(size)| size),
            number: page.map_or(0, |Whole(page)| page),
            since: token.map(|PageToken(since)| since),
        })
    }

    pub fn skip(self) -> usize {
        self.number as usize * self.size as usize
    }

    pub const fn limit(self) -> usize {
        self.size as usize
    }

    /// With pages that go on from the moment at which the first one was asked for, and that moment; `now` for the first.
    pub fn begun(self, now: Timestamp) -> (Self, Timestamp) {
        let since = self.since.unwrap_or(now);
        (Self { since: Some(since), ..self }, since)
    }

    /// This page of all items, as they are shown, and whether there are more behind them.
    pub fn of<T, V>(
        self,
        all: impl ExactSizeIterator<Item = T>,
        view: impl FnMut(T) -> V,
    ) -> (Self, Vec<V>, bool) {
        let has_more = all.len() > self.skip() + self.limit();
        (self, all.skip(self.skip()).take(self.limit()).map(view).collect(), has_more)
    }

    /// The answer's object: the items under `key`, and `meta`. `url` is the list's address, `query` the request's, of
    /// which the `filters` are repeated in addresses.
    pub fn listed<T>(
        self,
        key: &'static str,
        items: Vec<T>,
        has_more: bool,
        url: &str,
        (query, filters): (&Fields, &[&str]),
    ) -> Listed<T> {
        let address = |number: u32| self.address(url, (query, filters), number);
        let meta = Meta {
            page: self.number,
            page_size: self.size,
            first_page_url: Self { since: None, ..self }.address(url, (query, filters), 0),
            previous_page_url: self.number.checked_sub(1).map(address),
            url: address(self.number),
            next_page_url: (has_more && self.number < LAST_PAGE).then(|| address(self.number + 1)),
            key,
        };
        Listed { key, items, meta }
    }

    fn address(self, url: &str, (query, filters): (&Fields, &[&str]), number: u32) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(query.given(filters));
        text.append_pair("PageSize", &self.size.to_string());
        text.append_pair("Page", &number.to_string());
        if let Some(since) = self.since.filter(|_| number > 0) {
            text.append_pair("PageToken", &PageToken(since).to_string());
        }
        format!("{url}?{}", text.finish())
    }
}
