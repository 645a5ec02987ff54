//! What the routes of a group have in common, and who may use them.

use super::response::ErrorFormat;
use crate::registry::Scope;

/// What routes have in common that belong together: they read and refuse alike.
#[derive(Clone, Copy)]
pub struct Group {
    /// The form of its errors: those of the tutorial's API are `{"message"}` in every case, so that its clients find it
    /// in a 404, 413 or 503 too.
    pub errors: ErrorFormat,
    pub access: Access,
    /// Also a node of a cluster that stands by answers: its own state, and documents.
    pub is_of_this_node: bool,
    /// Pages of other origins may not read the answers, whatever `cors-origins` says: they have codes, or are for a session.
    pub is_closed_to_pages: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The routes check access themselves.
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

impl Group {
    pub const OPEN: Self = Self {
        errors: ErrorFormat::Envelope,
        access: Access::Open,
        is_of_this_node: false,
        is_closed_to_pages: false,
    };
    pub const OF_THIS_NODE: Self = Self { is_of_this_node: true, ..Self::OPEN };
    pub const CLOSED_TO_PAGES: Self = Self { is_closed_to_pages: true, ..Self::OPEN };
    /// Paths where nothing is.
    pub const UNKNOWN: Self = Self { is_of_this_node: true, ..Self::CLOSED_TO_PAGES };

    /// Routes that speak as Twilio's do.
    pub const fn twilio(access: Access) -> Self {
        Self { errors: ErrorFormat::Twilio, access, ..Self::OPEN }
    }

    /// Routes for clients of older servers.
    pub const fn compatible(errors: ErrorFormat) -> Self {
        Self { errors, access: Access::Compatible, ..Self::OPEN }
    }

    pub const fn is_compatible(self) -> bool {
        matches!(self.access, Access::Compatible)
    }
}
