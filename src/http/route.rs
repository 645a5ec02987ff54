//! The type of a route, and the lookup of a request's route. The routes themselves are in [`super::routes`].

use std::sync::LazyLock;

use futures_util::future::BoxFuture;
use hyper::Method;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::admin::AdminPage;
use super::response::{ErrorFormat, Response};
use super::routes::{GROUPS, LOCAL, NOT_SERVED};
use super::server::CallbackKind;
use super::v2;
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
    pub routes: &'static [Route],
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
    /// Its parameters: in the body of a `POST`, else in the query.
    pub params: fn() -> Vec<Param>,
    pub headers: fn() -> Vec<Param>,
    pub success: Success,
    /// Other statuses of its own.
    pub others: &'static [u16],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// `GET`, and `HEAD`, which is answered as `GET` without its body.
    Get,
    Post,
    Delete,
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

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
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

/// The four compatible routes are called directly, without a boxed future: they must be cheap.
#[derive(Clone, Copy)]
pub enum Handler {
    SendOtp,
    VerifyOtp,
    SendCode,
    VerifyCode,
    V2(V2Handler),
    Callback(CallbackKind),
    Inbox,
    Admin(AdminPage),
    Metrics,
    Ready,
    Index,
    /// Which server this is, at the control socket.
    Server,
    Docs,
    /// The forms of the start page.
    TrySend,
    TryCheck,
    /// An answer that does not depend on the request.
    Fixed(fn() -> Response),
}

/// A handler, and the parameters that it reads.
pub struct Endpoint(pub Handler, pub fn() -> Vec<Param>);

pub type V2Handler = for<'a> fn(&'a v2::RequestContext<'a>) -> BoxFuture<'a, Result<Response, v2::Failure>>;

/// The response to a good request.
pub struct Success {
    pub status: u16,
    pub about: &'static str,
    pub content: Content,
}

#[derive(Clone, Copy)]
pub enum Content {
    Nothing,
    /// Text of this media type.
    Text(&'static str),
    /// JSON of this schema, with an example if the schema cannot make one.
    Json(SchemaOf, Option<&'static str>),
    /// A page of a list: the schema of an item, the key, and perhaps a further member of the page.
    List(SchemaOf, &'static str, Option<(&'static str, SchemaOf)>),
}

/// Adds a type's schema, and those that it names; returns its name.
pub type SchemaOf = fn(&mut Vec<(String, RefOr<Schema>)>) -> String;

pub fn schema<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) -> String {
    let name = T::name().into_owned();
    schemas.push((name.clone(), T::schema()));
    T::schemas(schemas);
    name
}

impl Route {
    /// A route without the optional fields.
    pub const fn new(
        verb: Verb,
        path: &'static str,
        (id, summary): (&'static str, &'static str),
        Endpoint(handler, params): Endpoint,
        success: Success,
    ) -> Self {
        Self {
            verb,
            path,
            id,
            summary,
            about: "",
            access: None,
            handler,
            params,
            headers: Vec::new,
            success,
            others: &[],
        }
    }

    pub fn params(&self) -> Vec<Param> {
        let mut params = (self.params)();
        if matches!(self.success.content, Content::List(..)) {
            params.extend(Paging::describe());
        }
        params
    }
}

pub struct Resource {
    pub path: &'static str,
    pub errors: ErrorFormat,
    /// The methods that it answers, as the `Allow` header spells them.
    pub allow: String,
    /// The name of a resource of Twilio's that is not served.
    pub not_served: Option<&'static str>,
    routes: Vec<(Access, &'static Route)>,
}

impl Resource {
    fn of(path: &'static str, group: &'static ApiGroup) -> Self {
        let routes = groups().flat_map(|group| group.routes.iter().map(move |route| (group, route)));
        let mut routes: Vec<_> = routes
            .filter(|(_, route)| route.path == path)
            .map(|(group, route)| (route.access.unwrap_or(group.access), route))
            .collect();
        routes.sort_by_key(|(_, route)| route.verb);
        let methods = routes.iter().map(|(_, route)| match route.verb {
            Verb::Get => "GET, HEAD",
            verb => verb.as_str(),
        });
        let allow = methods.collect::<Vec<_>>().join(", ");
        Self { path, errors: group.errors, allow, not_served: None, routes }
    }

    fn not_served(path: &'static str, what: &'static str) -> Self {
        Self {
            path,
            errors: ErrorFormat::Twilio,
            allow: "GET, HEAD, POST, DELETE".to_owned(),
            not_served: Some(what),
            routes: Vec::new(),
        }
    }

    /// The route of a method, and its access rule. `OPTIONS` has none: [`super::cors`] answers preflights of allowed
    /// origins.
    pub fn route(&self, method: &Method) -> Option<(Access, &'static Route)> {
        let verb = Verb::of(method)?;
        self.routes.iter().find(|(_, route)| route.verb == verb).copied()
    }

    pub fn first(&self) -> Option<Handler> {
        self.routes.first().map(|(_, route)| route.handler)
    }

    /// Whether only the control socket has it.
    pub fn is_local(&self) -> bool {
        self.path.starts_with("/local/")
    }

    /// Whether clients of older servers call it.
    pub fn is_compatible(&self) -> bool {
        self.routes.iter().any(|(access, _)| *access == Access::Compatible)
    }

    pub fn allows(&self, method: &Method) -> bool {
        self.route(method).is_some()
            || self.not_served.is_some() && self.allow.split(", ").any(|name| name == method.as_str())
    }
}

#[derive(Clone, Copy)]
pub enum Target {
    Resource(&'static Resource),
    /// Nothing, with this form of errors.
    Unknown(ErrorFormat),
}

impl Target {
    /// Finds the resource of a path. Paths are exact: no trailing slash, no other case.
    pub fn of(path: &str) -> Self {
        let router = &*ROUTER;
        if let Some(resource) = router.fixed.iter().find(|resource| resource.path == path) {
            return Self::Resource(resource);
        }
        if path.starts_with("/inbox/") {
            // The pages serve these paths.
            return Self::of("/inbox");
        }
        match router.variable.iter().find(|resource| is_under(path, resource.path)) {
            Some(resource) => Self::Resource(resource),
            None if path.starts_with("/v2/") => Self::Unknown(ErrorFormat::Twilio),
            None => Self::Unknown(ErrorFormat::Envelope),
        }
    }

    pub const fn errors(self) -> ErrorFormat {
        match self {
            Self::Resource(resource) => resource.errors,
            Self::Unknown(errors) => errors,
        }
    }

    /// The name for logs: never the path of the request, which can contain a number.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resource(Resource { not_served: Some(_), .. }) => "/v2, not served",
            Self::Resource(resource) if matches!(resource.first(), Some(Handler::Inbox)) => "/inbox",
            Self::Resource(resource) => resource.path,
            Self::Unknown(ErrorFormat::Twilio) => "/v2, unknown",
            Self::Unknown(_) => "unknown",
        }
    }

    pub fn is_compatible(self) -> bool {
        matches!(self, Self::Resource(resource) if resource.is_compatible())
    }

    /// Returns `true` for a route that every node of a cluster answers by itself: its own state, and documents.
    pub fn is_of_this_node(self) -> bool {
        let Self::Resource(resource) = self else { return true };
        matches!(
            resource.first(),
            None | Some(Handler::Metrics | Handler::Ready | Handler::Docs | Handler::Fixed(_))
        )
    }

    pub fn is_callback(self) -> bool {
        matches!(self, Self::Resource(resource) if matches!(resource.first(), Some(Handler::Callback(_))))
    }
}

/// Those that are described, and that of the control socket.
fn groups() -> impl Iterator<Item = &'static ApiGroup> {
    GROUPS.into_iter().chain([&LOCAL])
}

struct Router {
    /// Paths without variable segments, those of the compatible routes first.
    fixed: Vec<Resource>,
    /// The other resources, and the unserved paths.
    variable: Vec<Resource>,
}

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let mut router = Router { fixed: Vec::new(), variable: Vec::new() };
    for group in groups() {
        for route in group.routes {
            let path = route.path;
            let list = if path.contains('{') { &mut router.variable } else { &mut router.fixed };
            if !list.iter().any(|resource| resource.path == path) {
                list.push(Resource::of(path, group));
            }
        }
    }
    router.fixed.sort_by_key(|resource| !resource.is_compatible());
    router.variable.extend(NOT_SERVED.iter().map(|(path, what)| Resource::not_served(path, what)));
    router
});

/// Whether a path is what a template says. `..` at its end stands for any further segments, or none.
fn is_under(path: &str, template: &str) -> bool {
    let mut found = path.split('/');
    for expected in template.split('/') {
        match (expected, found.next()) {
            ("..", _) => return true,
            (expected, Some(segment)) if expected == segment => {}
            (expected, Some(segment)) if expected.starts_with('{') && !segment.is_empty() => {}
            _ => return false,
        }
    }
    found.next().is_none()
}

/// The name of a method for logs: a method that a client made up is not repeated.
pub fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> impl Iterator<Item = &'static Route> {
        GROUPS.iter().flat_map(|group| group.routes)
    }

    /// The path of a resource, with `{names}` in place of its variable segments.
    fn found(path: &str) -> Option<&'static str> {
        match Target::of(path) {
            Target::Resource(resource) => Some(resource.path),
            Target::Unknown(_) => None,
        }
    }

    #[test]
    fn each_path_template_resolves_to_its_own_entry_and_no_two_overlap() {
        for route in routes() {
            assert_eq!(found(route.path), Some(route.path));
            let example = route.path.replace('{', "x").replace('}', "");
            assert_eq!(found(&example), Some(route.path), "{example}");
            let Target::Resource(resource) = Target::of(route.path) else { panic!("{}", route.path) };
            let (_, own) =
                resource.routes.iter().find(|(_, own)| own.verb == route.verb).expect("its method");
            assert_eq!(own.id, route.id, "two routes for {:?} {}", route.verb, route.path);
            for (path, _) in NOT_SERVED {
                assert!(!is_under(&example, path), "{path}");
            }
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
            "/v3/Services",
            "/callbacks/twilio",
            "/callbacks/twilio/other",
            "/+14155552671",
        ] {
            assert!(matches!(Target::of(path), Target::Unknown(ErrorFormat::Envelope)), "{path:?}");
        }
        for path in [
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
            assert!(matches!(Target::of(path), Target::Unknown(ErrorFormat::Twilio)), "{path:?}");
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
            let Target::Resource(resource) = Target::of(path) else { panic!("{path}") };
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
            let Target::Resource(resource) = Target::of(path) else { panic!("{path}") };
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
