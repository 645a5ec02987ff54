//! The type of a route, and the lookup of a request's route. The routes themselves are in [`super::routes`].

use std::sync::LazyLock;

use futures_util::future::BoxFuture;
use hyper::Method;
use indexmap::IndexMap;
use matchit::Params;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::response::{ErrorFormat, Problem, Response};
use super::routes::{GROUPS, LOCAL, NOT_SERVED};
use super::server::Deps;
use super::service::Call;
use super::v2::Paging;
use super::v2::params::{Param, Parameters as _};
use crate::registry::Scope;

/// Routes that belong together: they read and refuse alike.
pub struct ApiGroup {
    pub name: &'static str,
    pub about: &'static str,
    /// The access rule of its routes, unless a route has its own.
    pub access: Access,
    /// The form of its errors: those of the tutorial's API are `{"message"}` in every case, so that its clients find it
    /// in a 404, 413 or 503 too.
    pub errors: ErrorFormat,
    /// Media types of bodies, the first for examples.
    pub bodies: &'static [&'static str],
    /// Every node of a cluster answers by itself: its own state, and documents.
    pub is_of_this_node: bool,
    /// Pages of other origins may not read the answers, whatever `cors-origins` says: they have codes, or are for a session.
    pub is_closed_to_pages: bool,
    /// `GET /` names the routes.
    pub is_listed: bool,
    /// Whether this server has the routes.
    pub is_served: fn(&Deps) -> bool,
    pub routes: &'static [Route],
}

impl ApiGroup {
    /// A group with the flags of most.
    pub const fn new(
        (name, about): (&'static str, &'static str),
        access: Access,
        (errors, bodies): (ErrorFormat, &'static [&'static str]),
        routes: &'static [Route],
    ) -> Self {
        let (is_of_this_node, is_closed_to_pages, is_listed) = (false, false, true);
        let is_served = |_: &Deps| true;
        Self {
            name,
            about,
            access,
            errors,
            bodies,
            is_of_this_node,
            is_closed_to_pages,
            is_listed,
            is_served,
            routes,
        }
    }
}

/// A method at a path.
pub struct Route {
    pub verb: Verb,
    /// The path, with the names of its variable segments in braces.
    pub path: &'static str,
    /// Its name for generated clients.
    pub id: &'static str,
    pub summary: &'static str,
    pub about: &'static str,
    /// The access rule; `None` for the group's rule.
    pub access: Option<Access>,
    pub handler: Handler,
    pub headers: fn() -> Vec<Param>,
    pub success: Success,
    /// Other statuses of its own.
    pub others: &'static [u16],
    /// Whether many answers at a time would take too much work or memory.
    pub is_long: bool,
}

crate::named! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Verb {
        /// `GET`, and `HEAD`, which is answered as `GET` without its body.
        Get = "GET",
        Post = "POST",
        Delete = "DELETE",
    }
}

impl Verb {
    fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Get),
            Method::POST => Some(Self::Post),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Open,
    /// Everyone, unless the server asks for a key with the scope `verify`.
    Compatible,
    /// A key with this scope, and the account.
    Scope(Scope),
    /// A key with the scope `admin` or `verify`, and the account.
    AnyScope,
    /// The account, or a key for all services with the scope `admin`. The words name what needs it.
    Account(&'static str),
}

impl Access {
    /// Whether the route is refused without a credential.
    pub const fn needs_credential(self) -> bool {
        !matches!(self, Self::Open | Self::Compatible)
    }
}

/// The route of a request, and its access rule.
pub type Found = (Access, &'static Route);

/// Answers the requests at a route.
#[derive(Clone, Copy)]
pub struct Handler {
    pub answer: for<'c, 'a> fn(&'c mut Call<'a>, Found) -> BoxFuture<'c, Result<Response, Problem>>,
    /// Describes the parameters that it reads.
    pub params: fn() -> Vec<Param>,
}

/// The response to a good request.
pub struct Success {
    pub status: u16,
    pub about: &'static str,
    pub content: Content,
}

#[derive(Clone, Copy)]
pub enum Content {
    Nothing,
    /// A page for people, what its forms and scripts lead to, or a hook in the form of another system. Not described.
    Page,
    /// Text of this media type.
    Text(&'static str),
    /// JSON of this schema, with an example if the schema cannot make one.
    Json(SchemaOf, Option<&'static str>),
    /// A page of a list: the schema of an item, the key, and perhaps a further member of the page.
    List(SchemaOf, &'static str, Option<(&'static str, SchemaOf)>),
}

/// The schema of a type, or a reference to it.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub fn schema<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

/// The parameters of a route without any.
pub const NONE: fn() -> Vec<Param> = Vec::new;

impl Route {
    /// A route without the optional fields: its method, its path, its name for generated clients and its purpose.
    pub const fn new(
        verb: Verb,
        path: &'static str,
        (id, summary): (&'static str, &'static str),
        handler: Handler,
        success: Success,
    ) -> Self {
        let (about, access, others) = ("", None, &[]);
        let is_long = matches!(success.content, Content::List(..));
        Self { verb, path, id, summary, about, access, handler, headers: NONE, success, others, is_long }
    }

    /// A route for people, or in the form of another system, which is not described.
    pub const fn page(verb: Verb, path: &'static str, handler: Handler) -> Self {
        let success = Success { status: 200, about: "", content: Content::Page };
        Self::new(verb, path, ("", ""), handler, success)
    }

    pub const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    pub const fn access(self, access: Access) -> Self {
        Self { access: Some(access), ..self }
    }

    /// Describes the parameters that a handler outside `/v2` reads.
    pub const fn reads(self, params: fn() -> Vec<Param>) -> Self {
        Self { handler: Handler { params, ..self.handler }, ..self }
    }

    pub const fn headers(self, headers: fn() -> Vec<Param>) -> Self {
        Self { headers, ..self }
    }

    pub const fn others(self, others: &'static [u16]) -> Self {
        Self { others, ..self }
    }

    pub const fn long(self) -> Self {
        Self { is_long: true, ..self }
    }

    /// Its parameters: in the body of a `POST`, else in the query.
    pub fn params(&self) -> Vec<Param> {
        let mut params = (self.handler.params)();
        if matches!(self.success.content, Content::List(..)) {
            params.extend(Paging::describe());
        }
        params
    }

    pub const fn is_described(&self) -> bool {
        !matches!(self.success.content, Content::Page)
    }
}

/// The routes of a path.
pub struct Resource {
    pub path: &'static str,
    pub group: &'static ApiGroup,
    /// The methods that it answers, as the `Allow` header spells them.
    pub allow: String,
    /// The name of a resource of Twilio's that is not served.
    pub not_served: Option<&'static str>,
    routes: Vec<&'static Route>,
}

impl Resource {
    fn of(path: &'static str, group: &'static ApiGroup, mut routes: Vec<&'static Route>) -> Self {
        routes.sort_by_key(|route| route.verb);
        let methods = routes.iter().map(|route| match route.verb {
            Verb::Get => "GET, HEAD",
            verb => verb.as_str(),
        });
        let allow = methods.collect::<Vec<_>>().join(", ");
        Self { path, group, allow, not_served: None, routes }
    }

    fn not_served(path: &'static str, what: &'static str) -> Self {
        let allow = "GET, HEAD, POST, DELETE".to_owned();
        Self { path, group: GROUPS[0], allow, not_served: Some(what), routes: Vec::new() }
    }

    /// The route of a method, and its access rule. `OPTIONS` has none: [`super::cors`] answers preflights of allowed
    /// origins.
    pub fn route(&self, method: &Method) -> Option<Found> {
        let verb = Verb::of(method)?;
        let route = self.routes.iter().find(|route| route.verb == verb)?;
        Some((route.access.unwrap_or(self.group.access), route))
    }

    pub fn allows(&self, method: &Method) -> bool {
        self.route(method).is_some()
            || self.not_served.is_some() && self.allow.split(", ").any(|name| name == method.as_str())
    }

    /// Whether only the control socket has it.
    pub fn is_local(&self) -> bool {
        self.path.starts_with("/local/")
    }

    /// Whether clients of older servers call it.
    pub fn is_compatible(&self) -> bool {
        self.group.access == Access::Compatible
    }
}

/// What the path of a request leads to.
#[derive(Clone)]
pub struct Target<'p> {
    /// `Err` has the form of errors below an unknown path.
    pub resource: Result<&'static Resource, ErrorFormat>,
    /// The variable segments of the path, as they were sent.
    pub params: Params<'static, 'p>,
}

impl<'p> Target<'p> {
    /// Finds the resource of a path. Paths are exact: no trailing slash, no other case.
    pub fn of(path: &'p str) -> Self {
        if let Ok(found) = ROUTER.at(path) {
            return Self { resource: Ok(found.value), params: found.params };
        }
        let is_twilio = ["/v1/", "/v2/", "/v3/"].iter().any(|version| path.starts_with(version));
        let errors = if is_twilio { ErrorFormat::Twilio } else { ErrorFormat::Envelope };
        Self { resource: Err(errors), params: Params::new() }
    }

    pub fn errors(&self) -> ErrorFormat {
        self.resource.map_or_else(|errors| errors, |resource| resource.group.errors)
    }

    /// The name for logs: never the path of the request, which can contain a number.
    pub const fn name(&self) -> &'static str {
        match self.resource {
            Ok(Resource { not_served: Some(_), .. }) => "/v2, not served",
            Ok(resource) => resource.path,
            Err(ErrorFormat::Twilio) => "/v2, unknown",
            Err(_) => "unknown",
        }
    }

    pub fn is_compatible(&self) -> bool {
        self.resource.is_ok_and(Resource::is_compatible)
    }

    /// Whether every node of a cluster answers by itself.
    pub fn is_of_this_node(&self) -> bool {
        self.resource.map_or(true, |resource| resource.group.is_of_this_node || resource.not_served.is_some())
    }
}

static ROUTER: LazyLock<matchit::Router<Resource>> = LazyLock::new(|| {
    let mut paths: IndexMap<_, (_, Vec<_>)> = IndexMap::new();
    for group in GROUPS.into_iter().chain([&LOCAL]) {
        for route in group.routes {
            paths.entry(route.path).or_insert((group, Vec::new())).1.push(route);
        }
    }
    let served = paths.into_iter().map(|(path, (group, routes))| Resource::of(path, group, routes));
    let not_served = NOT_SERVED.iter().map(|(path, what)| Resource::not_served(path, what));
    let mut router = matchit::Router::new();
    for resource in served.chain(not_served) {
        // A test finds templates that exclude each other.
        let _ = router.insert(resource.path, resource);
    }
    router
});

/// The name of a method for logs: a method that a client made up is not repeated.
pub fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> impl Iterator<Item = &'static Route> {
        GROUPS.iter().flat_map(|group| group.routes)
    }

    /// The path of a resource, with `{names}` in place of its variable segments.
    fn found(path: &str) -> Option<&'static str> {
        Target::of(path).resource.ok().map(|resource| resource.path)
    }

    #[test]
    fn each_path_template_resolves_to_its_own_entry_and_no_two_overlap() {
        for route in routes() {
            assert_eq!(found(route.path), Some(route.path));
            let example = route.path.replace('{', "x").replace('}', "");
            assert_eq!(found(&example), Some(route.path), "{example}");
            let Ok(resource) = Target::of(route.path).resource else { panic!("{}", route.path) };
            let own: Vec<_> = resource.routes.iter().filter(|own| own.verb == route.verb).collect();
            assert!(matches!(own[..], [own] if own.id == route.id), "{:?} {}", route.verb, route.path);
        }
        assert!(routes().count() > 50);
    }

    #[test]
    fn a_path_that_only_looks_like_one_is_unknown() {
        for path in [
            "",
            "*",
            "//",
            "/api",
            "/api/send-otp/",
            "/API/send-otp",
            "/inboxes",
            "/docs/",
            "/v2",
            "/callbacks/twilio",
            "/callbacks/twilio/other",
            "/+14155552671",
        ] {
            assert!(matches!(Target::of(path).resource, Err(ErrorFormat::Envelope)), "{path:?}");
        }
        for path in [
            "/v1/Services",
            "/v3/Services",
            "/v2/",
            "/v2/services",
            "/v2/Services/",
            "/v2//Services",
            "/v2/Services//Verifications",
            "/v2/Services/VA/Verifications/",
            "/v2/Services/VA/Verifications/VE/x",
            "/v2/Services/VA/RateLimits/RK/Buckets/BL/x",
            "/v2/Services/VA/Other",
            "/v2/SafeList",
            "/v2/Templates/HJ",
        ] {
            assert!(matches!(Target::of(path).resource, Err(ErrorFormat::Twilio)), "{path:?}");
        }
    }

    #[test]
    fn what_twilio_serves_and_this_server_does_not_is_known_as_that() {
        for path in [
            "/v2/Forms/form-push",
            "/v2/Services/VA/AccessTokens",
            "/v2/Services/VA/AccessTokens/YK",
            "/v2/Services/VA/Entities",
            "/v2/Services/VA/Entities/1/Factors/YF",
            "/v2/Services/VA/Entities/1/Challenges/YC",
            "/v2/Services/VA/Passkeys/VerifyFactor",
        ] {
            let Ok(resource) = Target::of(path).resource else { panic!("{path}") };
            assert!(resource.not_served.is_some(), "{path}");
        }
    }

    #[test]
    fn a_resource_allows_exactly_the_methods_it_names() {
        let methods = [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::TRACE,
        ];
        for path in routes().map(|route| route.path).chain(["/v2/Forms/form-push"]) {
            let Ok(resource) = Target::of(path).resource else { panic!("{path}") };
            let named: Vec<_> = resource.allow.split(", ").collect();
            for method in &methods {
                assert_eq!(resource.allows(method), named.contains(&method.as_str()), "{path} {method}");
            }
        }
    }

    #[test]
    fn a_method_that_a_client_made_up_is_not_logged() {
        let made_up = Method::from_bytes(b"X14155552671").expect("a method");
        assert_eq!(method_name(&made_up), "other");
        assert_eq!(method_name(&Method::POST), "POST");
    }
}
