//! Declarations of routes: the router with the handlers, and beside each handler what its route is for, who may use it
//! and what a good request is answered. Routing, the `Allow` header, names in logs, and the description in `/openapi.json`
//! and `/docs` come from them.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, delete, get, post};
use hyper::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::api::paging::Paging;
use super::api::params::{Param, Parameters as _};
use super::app::{App, FrontEnd};
use super::response::ErrorFormat;
use crate::registry::Scope;

/// What routes have in common that belong together: they read and refuse alike.
#[derive(Clone, Copy)]
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
    /// Also a node of a cluster that stands by answers: its own state, and documents.
    pub is_of_this_node: bool,
    /// Pages of other origins may not read the answers, whatever `cors-origins` says: they have codes, or are for a session.
    pub is_closed_to_pages: bool,
    /// `GET /` names the routes.
    pub is_listed: bool,
    /// Whether this server has the routes.
    pub is_served: fn(&FrontEnd) -> bool,
}

impl ApiGroup {
    /// Routes that speak as Twilio's do.
    pub const fn twilio(name: &'static str, about: &'static str, access: Access) -> Self {
        const BODIES: &[&str] = &["application/x-www-form-urlencoded", "application/json"];
        let (errors, bodies, is_listed) = (ErrorFormat::Twilio, BODIES, false);
        Self { access, errors, bodies, is_listed, ..Self::open(name, about) }
    }

    /// Routes for clients of older servers.
    pub const fn compatible(name: &'static str, about: &'static str, errors: ErrorFormat) -> Self {
        Self { access: Access::Compatible, errors, bodies: &["application/json"], ..Self::open(name, about) }
    }

    /// Routes that check access themselves.
    pub const fn open(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            access: Access::Open,
            errors: ErrorFormat::Envelope,
            bodies: &["application/x-www-form-urlencoded"],
            is_of_this_node: false,
            is_closed_to_pages: false,
            is_listed: true,
            is_served: |_| true,
        }
    }
}

/// A method at a path.
#[derive(Clone, Copy)]
pub struct Operation {
    /// `GET`, which answers `HEAD` without a body too, `POST` or `DELETE`.
    pub verb: &'static str,
    /// The path, with the names of its variable segments in braces.
    pub path: &'static str,
    /// Its name for generated clients.
    pub id: &'static str,
    pub summary: &'static str,
    pub about: &'static str,
    /// The access rule; `None` for the group's rule.
    pub access: Option<Access>,
    /// The parameters that its handler reads: in the body of a `POST`, else in the query.
    pub reads: fn() -> Vec<Param>,
    pub headers: fn() -> Vec<Param>,
    pub success: Success,
    /// Whether many answers at a time would take too much work or memory.
    pub is_long: bool,
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

/// The response to a good request.
#[derive(Clone, Copy)]
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
    /// JSON of this schema.
    Json(SchemaOf),
    /// A page of a list: the schema of an item, the key, and perhaps a further member of the page.
    List(SchemaOf, &'static str, Option<(&'static str, SchemaOf)>),
}

/// The schema of a type, or a reference to it.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub fn schema<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

impl Success {
    pub const GONE: Self = Self { status: 204, about: "Deleted.", content: Content::Nothing };

    pub const fn ok(about: &'static str, content: Content) -> Self {
        Self { status: 200, about, content }
    }

    pub const fn json<T: JsonSchema>(about: &'static str) -> Self {
        Self::ok(about, Content::Json(schema::<T>))
    }

    pub const fn made<T: JsonSchema>() -> Self {
        Self { status: 201, ..Self::json::<T>("Created.") }
    }
}

impl Operation {
    /// One without the optional fields: its name for generated clients, its purpose, and its good response.
    pub const fn new(id: &'static str, summary: &'static str, success: Success) -> Self {
        let (verb, path, about, access) = ("", "", "", None);
        let is_long = matches!(success.content, Content::List(..));
        Self { verb, path, id, summary, about, access, reads: Vec::new, headers: Vec::new, success, is_long }
    }

    /// One for people, or in the form of another system, which is not described.
    pub const fn page() -> Self {
        Self::new("", "", Success::ok("", Content::Page))
    }

    pub const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    pub const fn access(self, access: Access) -> Self {
        Self { access: Some(access), ..self }
    }

    pub const fn reads(self, reads: fn() -> Vec<Param>) -> Self {
        Self { reads, ..self }
    }

    pub const fn headers(self, headers: fn() -> Vec<Param>) -> Self {
        Self { headers, ..self }
    }

    pub const fn long(self) -> Self {
        Self { is_long: true, ..self }
    }

    /// Its parameters: in the body of a `POST`, else in the query.
    pub fn params(&self) -> Vec<Param> {
        let mut params = (self.reads)();
        if matches!(self.success.content, Content::List(..)) {
            params.extend(Paging::describe());
        }
        params
    }

    pub const fn is_described(&self) -> bool {
        !matches!(self.success.content, Content::Page)
    }
}

/// Routes with their declarations, in the order in which a reader wants them.
#[derive(Default)]
pub struct ApiRouter {
    pub router: Router<App>,
    pub groups: Vec<(ApiGroup, Vec<Operation>)>,
}

impl ApiRouter {
    /// Begins with no route of a group.
    pub fn of(group: ApiGroup) -> Self {
        Self { router: Router::new(), groups: vec![(group, Vec::new())] }
    }

    pub fn get<T: 'static, H: Handler<T, App>>(self, path: &'static str, to: H, what: Operation) -> Self {
        self.route(get(to), Operation { verb: "GET", path, ..what })
    }

    pub fn post<T: 'static, H: Handler<T, App>>(self, path: &'static str, to: H, what: Operation) -> Self {
        self.route(post(to), Operation { verb: "POST", path, ..what })
    }

    pub fn delete<T: 'static, H: Handler<T, App>>(self, path: &'static str, to: H, what: Operation) -> Self {
        self.route(delete(to), Operation { verb: "DELETE", path, ..what })
    }

    fn route(mut self, to: MethodRouter<App>, operation: Operation) -> Self {
        self.router = self.router.route(operation.path, to);
        if let Some((_, operations)) = self.groups.last_mut() {
            operations.push(operation);
        }
        self
    }

    /// Adds the routes of another file. Those of one group stand together.
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        for (group, operations) in other.groups {
            match self.groups.iter_mut().find(|(known, _)| known.name == group.name) {
                Some((_, known)) => known.extend(operations),
                None => self.groups.push((group, operations)),
            }
        }
        self
    }
}

/// The name of a method for logs: a method that a client made up is not repeated.
pub fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
