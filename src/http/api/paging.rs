//! Lists in pages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use hyper::http::request::Parts;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use crate::config::members;
use crate::domain::Timestamp;
use crate::http::app::App;
use crate::http::call::Origin;
use crate::http::error::Error;
use crate::http::form::Form;
use crate::http::values::{self, ListPlace, Url};
use crate::verification::Refusal;

/// Items on a page if the request does not say.
const USUAL_SIZE: u32 = 50;
/// Most items on a page.
const LARGEST: u32 = 1_000;
/// Last page that can be asked for: more items than are ever listed.
const LAST_PAGE: u32 = 10_000_000;

/// The parameters of every list.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Paging {
    /// Items on a page; the default is 50. More than 1,000 are 1,000.
    pub page_size: Option<values::Whole<1, { u32::MAX }>>,
    /// The number of the page, from 0.
    pub page: Option<values::Whole<0, LAST_PAGE>>,
    /// Where a list that is newest first goes on, as `next_page_url` has it: rows may arrive meanwhile.
    pub page_token: Option<values::PageToken>,
}

/// The filters of a list, and the page of it that a request asks for.
pub struct Listing<T = ()>(pub T, pub Page);

/// A page of a list, as a request asks for it.
pub struct Page {
    size: u32,
    number: u32,
    /// Where it begins, in a list that is newest first.
    place: Option<ListPlace>,
    /// The address of the list with the filters, to which the page is added.
    address: String,
    _turn: Turn,
}

/// The place of a page in its list.
#[derive(Serialize, JsonSchema)]
pub struct ListMeta {
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

/// The items of a page under a name of their own, its place in the list.
#[derive(Serialize)]
pub struct Listed<T> {
    #[serde(flatten)]
    items: BTreeMap<&'static str, Vec<T>>,
    meta: ListMeta,
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// A place among those who make what takes much work or memory.
pub struct Turn(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

impl FromRequestParts<App> for Turn {
    type Rejection = Error;

    async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, Error> {
        let permit = Arc::clone(&app.lists).try_acquire_owned();
        permit.map(Self).map_err(|_| Refusal::Overloaded.into())
    }
}

impl<T: DeserializeOwned> FromRequestParts<App> for Listing<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let turn = Turn::from_request_parts(parts, app).await?;
        let form = Form::of_text(parts.uri.query().unwrap_or_default().as_bytes());
        let filters = form.read()?;
        let Paging { page_size, page, page_token } = form.read()?;
        let origin: &Arc<Origin> = parts.extensions.get().ok_or(Error::PANICKED)?;
        let path = format!("{}{}", app.base(origin.host.as_ref()), parts.uri.path());
        // Addresses of pages repeat the filters.
        let mut address = url::form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
        address.extend_pairs(form.given(members::<T>()));
        let page = Page {
            size: page_size.map_or(USUAL_SIZE, |size| size.0.min(LARGEST)),
            number: page.map_or(0, |page| page.0),
            place: page_token.map(|token| token.0),
            address: address.finish(),
            _turn: turn,
        };
        Ok(Self(filters, page))
    }
}

impl Page {
    pub fn skip(&self) -> usize {
        self.number as usize * self.size as usize
    }

    /// The items of this page, and one more, which tells that there is a further page.
    pub const fn limit(&self) -> usize {
        self.size as usize + 1
    }

    /// Of a list that is newest first: the moment before which its items are, and how many of them are left out.
    pub fn place(&self, before: Option<Timestamp>) -> (Option<Timestamp>, usize) {
        let Some(ListPlace { last, shown }) = self.place else { return (before, self.skip()) };
        let end = last.plus(Duration::from_millis(1));
        (Some(before.map_or(end, |before| before.min(end))), shown)
    }

    /// The same as [`Page::of`], of a list that is newest first. The next page goes on behind the last item: those that arrive
    /// meanwhile move none.
    pub fn of_newest<T, V>(
        self,
        key: &'static str,
        items: impl IntoIterator<Item = T>,
        at: impl Fn(&T) -> Timestamp,
        view: impl FnMut(T) -> V,
    ) -> Listed<V> {
        let (before, mut last) = (self.place, None::<ListPlace>);
        let items: Vec<T> = items.into_iter().collect();
        for item in items.iter().take(self.size as usize) {
            let at = at(item);
            let same = last.or(before).filter(|place| place.last == at);
            last = Some(ListPlace { last: at, shown: same.map_or(0, |place| place.shown) + 1 });
        }
        let next = last.map(|place| format!("&PageToken={place}")).unwrap_or_default();
        let mut listed = self.of(key, items, view);
        if let Some(url) = &mut listed.meta.next_page_url {
            url.0 += &next;
        }
        listed
    }

    /// This page of items that begin with its first one.
    pub fn of<T, V>(
        self,
        key: &'static str,
        items: impl IntoIterator<Item = T>,
        view: impl FnMut(T) -> V,
    ) -> Listed<V> {
        let mut rest = items.into_iter();
        let items = rest.by_ref().take(self.size as usize).map(view).collect();
        let has_more = rest.next().is_some() && self.number < LAST_PAGE;
        let meta = ListMeta {
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

    /// This page of all items.
    #[expect(clippy::unnecessary_wraps, reason = "handlers end with it")]
    pub fn of_all<T, V>(
        self,
        key: &'static str,
        all: impl IntoIterator<Item = T>,
        view: impl FnMut(T) -> V,
    ) -> Result<Listed<V>, Error> {
        let first = self.skip();
        Ok(self.of(key, all.into_iter().skip(first), view))
    }

    fn url(&self, number: u32) -> Url {
        let and = if self.address.ends_with('?') { "" } else { "&" };
        Url(format!("{}{and}PageSize={}&Page={number}", self.address, self.size))
    }
}
