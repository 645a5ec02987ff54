//! Lists in pages.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::error::Error;
use super::fields::Fields;
use super::value;
use crate::domain::Timestamp;

/// Things on a page where the request does not say.
const USUAL_SIZE: u32 = 50;
/// Most things on a page.
pub const LARGEST: u32 = 1_000;
/// Last page that can be asked for: more things than are ever listed.
pub const LAST_PAGE: u32 = 10_000_000;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Things on a page at most.
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
    /// Under which name the things are.
    key: &'static str,
}

/// A page: its things under a name of their own, and what stands beside them.
pub struct Listed<T> {
    key: &'static str,
    things: Vec<T>,
    meta: Meta,
}

impl<T: Serialize> Serialize for Listed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(self.key, &self.things)?;
        map.serialize_entry("meta", &self.meta)?;
        map.end()
    }
}

impl Page {
    /// Reads the parameters. A token is ours or is refused.
    pub fn read(query: &Fields) -> Result<Self, Error> {
        let size = value::whole(query, "PageSize", 1..=LARGEST)?.unwrap_or(USUAL_SIZE);
        let number = value::whole(query, "Page", 0..=LAST_PAGE)?.unwrap_or(0);
        let since = value::read(query, "PageToken", "one of an address that a list told", token)?;
        Ok(Self { size, number, since })
    }

    /// Things before this page.
    pub fn skip(self) -> usize {
        self.number as usize * self.size as usize
    }

    /// Most things on it.
    pub const fn limit(self) -> usize {
        self.size as usize
    }

    /// The moment at which the first page was asked for; now, for the first page.
    #[must_use]
    pub fn begun(self, now: Timestamp) -> Self {
        Self { since: Some(self.since.unwrap_or(now)), ..self }
    }

    /// That moment, if the pages go on from one.
    pub const fn since(self) -> Option<Timestamp> {
        self.since
    }

    /// The things of this page, and whether there are more behind them.
    pub fn cut<T>(self, all: Vec<T>) -> (Vec<T>, bool) {
        let has_more = all.len() > self.skip() + self.limit();
        (all.into_iter().skip(self.skip()).take(self.limit()).collect(), has_more)
    }

    /// The answer's object: the things under `key`, and `meta`. `url` is the list's address, `query` what was asked, of
    /// which the `filters` are repeated in addresses.
    pub fn listed<T>(
        self,
        key: &'static str,
        things: Vec<T>,
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
        Listed { key, things, meta }
    }

    fn address(self, url: &str, (query, filters): (&Fields, &[&str]), number: u32) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(query.of(filters));
        text.append_pair("PageSize", &self.size.to_string());
        text.append_pair("Page", &number.to_string());
        if let Some(since) = self.since.filter(|_| number > 0) {
            text.append_pair("PageToken", &format!("PT{}", since.as_millis()));
        }
        format!("{url}?{}", text.finish())
    }
}

fn token(text: &str) -> Option<Timestamp> {
    let digits = text.strip_prefix("PT")?;
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain).map(Timestamp::from_millis)
}
