//! One request below `/v2`: who sent it, its path, its parameters, what its handler needs, and lists in pages.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::http::request::Parts as Head;
use hyper::http::uri::Authority;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::V2;
use super::error::Error;
use super::params::{Fields, PageToken, Parameter, Parameters, Url, Whole, is_digits, parameters};
use crate::domain::{PhoneNumber, ServiceId, Sid, SidKind, Timestamp};
use crate::http::request;
use crate::http::response::Response;
use crate::http::service::Call;
use crate::registry::audit::Author;
use crate::registry::{Caller, Registry, Scope, Service};

/// A request whose sender is known.
pub struct Request<'a> {
    pub call: &'a Call<'a>,
    pub v2: &'a V2,
    /// Its parameters: of the body of a `POST`, else of the query.
    pub fields: Fields,
    base: String,
    caller: Caller,
    service: Option<Arc<Service>>,
}

impl<'a> Request<'a> {
    /// A request of this caller. If its path begins with a service, the caller may know that service.
    pub fn new(call: &'a Call<'a>, v2: &'a V2, caller: Caller, fields: Fields) -> Result<Self, Error> {
        let mut request = Self { call, v2, fields, base: v2.base.of(call.head), caller, service: None };
        if call.params.get("ServiceSid").is_some() {
            request.service = Some(request.service_at("ServiceSid")?);
        }
        Ok(request)
    }

    pub fn path(&self) -> &'a str {
        self.call.head.uri.path()
    }

    pub fn page(&self) -> Result<Page, Error> {
        Page::read(&self.fields)
    }

    pub fn now(&self) -> Timestamp {
        (self.v2.now)()
    }

    /// The end of this millisecond: everything so far is before it.
    pub fn end_of_now(&self) -> Timestamp {
        self.now().plus(Duration::from_millis(1))
    }

    pub fn frame(&self) -> Frame<'_> {
        Frame { base: &self.base, account: self.v2.registry.account_sid() }
    }

    /// A page of a list under `key`. Addresses of pages repeat the filters with these names.
    pub fn page_object<T>(&self, key: &'static str, items: PageItems<T>, filters: &[&str]) -> Listed<T> {
        let PageItems { page, items, has_more } = items;
        let Url(list) = self.frame().url(self.path().strip_prefix("/v2").unwrap_or(self.path()));
        let address = |number: u32| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(self.fields.given(filters));
            query.append_pair("PageSize", &page.size.to_string());
            query.append_pair("Page", &number.to_string());
            // The first page fixes the time anew.
            if let Some(since) = page.since.filter(|_| number > 0) {
                query.append_pair("PageToken", &format!("PT{}", since.as_millis()));
            }
            Url(format!("{list}?{}", query.finish()))
        };
        let meta = Meta {
            page: page.number,
            page_size: page.size,
            first_page_url: address(0),
            previous_page_url: page.number.checked_sub(1).map(address),
            url: address(page.number),
            next_page_url: (has_more && page.number < LAST_PAGE).then(|| address(page.number + 1)),
            key,
        };
        Listed { items: BTreeMap::from([(key, items)]), meta }
    }

    /// The answer with such a page.
    pub fn page_response<T: Serialize>(
        &self,
        key: &'static str,
        items: PageItems<T>,
        filters: &[&str],
    ) -> Response {
        Response::ok(&self.page_object(key, items, filters))
    }

    /// The answer with the requested page of all items.
    pub fn list<T, W: Serialize>(
        &self,
        key: &'static str,
        all: impl Iterator<Item = T>,
        view: impl Fn(&Frame<'_>, T) -> W,
    ) -> Result<Response, Error> {
        let frame = self.frame();
        let page = self.page()?;
        Ok(self.page_response(key, page.of(all.skip(page.skip()), |item| view(&frame, item)), &[]))
    }

    /// A variable segment of the path, percent-decoded.
    pub fn param(&self, name: &str) -> Result<Cow<'a, str>, Error> {
        self.call.param(name).ok_or(Error::NotFound)
    }

    /// An id in the path.
    pub fn sid(&self, name: &str, kind: SidKind) -> Result<Sid, Error> {
        Sid::parse(kind, &self.param(name)?).ok_or(Error::NotFound)
    }

    pub fn number(&self, name: &str) -> Result<PhoneNumber, Error> {
        PhoneNumber::parse(&self.param(name)?, None).map_err(|_| Error::NotFound)
    }

    /// The service that the path begins with.
    pub fn service(&self) -> Result<Arc<Service>, Error> {
        self.service.clone().ok_or(Error::NotFound)
    }

    /// The service in a segment of the path, if the caller may know it.
    pub fn service_at(&self, name: &str) -> Result<Arc<Service>, Error> {
        let service = self.v2.registry.service(&self.sid(name, SidKind::Service)?)?;
        if self.own_service().is_some_and(|own| own != service.id) {
            return Err(Error::NotFound);
        }
        Ok(service)
    }

    /// The one service that the caller's key is for; `None` for all.
    pub fn own_service(&self) -> Option<ServiceId> {
        self.caller.service()
    }

    /// Whether the caller may change more than one service.
    pub fn is_for_all_services(&self) -> bool {
        self.caller.may_everywhere(Scope::Admin)
    }

    /// The registry, for changes on behalf of the caller.
    pub fn registry(&self) -> Registry {
        self.v2.registry.on_behalf_of(self.author())
    }

    /// The caller in the audit log.
    pub fn author(&self) -> Author {
        self.v2.registry.author(self.caller.actor(), Some(self.call.request_id))
    }

    /// The same if the caller may change this service. What others do there is ordinary traffic.
    pub fn author_of_change_in(&self, service: ServiceId) -> Option<Author> {
        self.caller.may(Scope::Admin, service).then(|| self.author())
    }

    pub fn service_id(&self, sid: &Sid) -> Option<ServiceId> {
        self.v2.registry.service(sid).ok().map(|service| service.id)
    }

    /// The id of the service with this number, unless it is gone.
    pub fn service_sid(&self, id: ServiceId) -> Option<Sid> {
        self.v2.registry.service_by_id(id).map(|service| service.sid)
    }
}

/// The addresses and ids that views are made with.
pub struct Frame<'a> {
    /// The beginning of every address, up to and with `/v2`.
    pub base: &'a str,
    pub account: Sid,
}

impl Frame<'_> {
    /// Those of the examples in `/openapi.json`.
    pub fn example() -> Self {
        Self { base: "https://codes.example/v2", account: Self::example_sid(SidKind::Account) }
    }

    pub fn example_sid(kind: SidKind) -> Sid {
        Sid::new(kind, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes())
    }

    pub fn url(&self, path: &str) -> Url {
        Url(format!("{}{path}", self.base))
    }
}

/// Longest name and port that are repeated.
const LONGEST_HOST: usize = 262;

/// The server's base address, as far as it is known: the start of addresses in answers.
#[derive(Debug, Clone)]
pub struct Base {
    /// The setting `public-url`: an address without a slash at its end, perhaps with a path.
    pub public_url: Option<Arc<str>>,
    /// Whether the listener speaks TLS.
    pub tls: bool,
    /// The address that the server listens on, as `host:port`, for requests that name none.
    pub listens_on: Arc<str>,
}

impl Base {
    /// The prefix of addresses in the answer to this request, up to and with `/v2`.
    pub fn of(&self, head: &Head) -> String {
        if let Some(url) = &self.public_url {
            return format!("{}/v2", url.trim_end_matches('/'));
        }
        let scheme = if self.tls { "https" } else { "http" };
        // Anything else may be valid, but is no address that a client can use again.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        let host = request::host_of(head).filter(|host| {
            host.as_str().len() <= LONGEST_HOST
                && request::is_host_and_port(host.as_str().as_bytes())
                && host.as_str().chars().all(is_plain)
        });
        let host = host.as_ref().map_or(&*self.listens_on, Authority::as_str);
        format!("{scheme}://{host}/v2")
    }
}

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

    fn accepts() -> String {
        "from 1".to_owned()
    }
}

/// A part of a list.
#[derive(Clone, Copy)]
pub struct Page {
    size: u32,
    number: u32,
    /// When the client requested the first page: items made since then move nothing.
    since: Option<Timestamp>,
}

/// The place of a page in its list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListMeta")]
pub struct Meta {
    /// Which page this is, from 0.
    #[schemars(example = 0)]
    page: u32,
    /// Most items on a page.
    #[schemars(example = 50)]
    page_size: u32,
    first_page_url: Url,
    #[schemars(with = "Option<String>", extend("format" = "uri"))]
    previous_page_url: Option<Url>,
    url: Url,
    /// Null for the last page.
    #[schemars(with = "Option<String>", extend("format" = "uri"))]
    next_page_url: Option<Url>,
    /// The name of the items.
    #[schemars(example = &"KEY")]
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

#[cfg(test)]
mod tests {
    use hyper::header::HOST;

    use super::*;

    fn base(public_url: Option<&str>, host: &str) -> String {
        let base =
            Base { public_url: public_url.map(Into::into), tls: false, listens_on: "127.0.0.1:3000".into() };
        let request = hyper::Request::get("/v2/Services").header(HOST, host).body(()).expect("a request");
        base.of(&request.into_parts().0)
    }

    #[test]
    fn addresses_begin_with_the_public_url_else_with_what_the_client_asked() {
        assert_eq!(
            base(Some("https://codes.example/verify/"), "evil.example"),
            "https://codes.example/verify/v2"
        );
        assert_eq!(base(None, "codes.example:8080"), "http://codes.example:8080/v2");
        assert_eq!(base(None, "[::1]:3000"), "http://[::1]:3000/v2");
    }

    #[test]
    fn a_host_that_is_more_than_a_host_is_not_repeated() {
        for host in ["", "a@b", "a/b", "a b", "a?b", "a#b", "\"", "a:x", &"a".repeat(300), "<script>"] {
            assert_eq!(base(None, host), "http://127.0.0.1:3000/v2", "{host:?}");
        }
    }
}
