//! The pages that the server shows to people, built into the program.
//!
//! They know nothing of HTTP: the front end routes to them and sends what they return.

mod docs;
mod home;
mod inbox;
mod page;

pub use docs::{Docs, DocsAnswer, DocsGroup, DocsParam, DocsRoute, docs_page};
pub use home::home_page;
pub use inbox::{Inbox, InboxError, inbox, inbox_page};
pub use page::Page;

pub use crate::gateway::Simulator;
