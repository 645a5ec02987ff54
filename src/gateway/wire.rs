//! What the gateways that speak HTTP share: how a request is sent, and what an answer means by HTTP's
//! own rules.
//!
//! * `http_client`: the one client. `provider_url`: whom it talks to.
//! * `post`: the same client for requests to addresses that were named over the API.
//! * `answer_class`, `answer_headers`: what an answer, or none, means for what happens next.
//! * `standing`: what answers say about our account, for `/readyz`.
//! * `basic_auth`, `message_ids`: credentials, and the ids of what was sent.

mod answer_class;
mod answer_headers;
mod basic_auth;
mod http_client;
mod message_ids;
mod post;
mod provider_url;
mod standing;

pub(super) use self::answer_class::{Meaning, by_status, known_code, not_answered, words_for_status};
pub(super) use self::basic_auth::{basic_auth, basic_credentials};
pub(super) use self::http_client::{Answer, HttpClient, Request};
pub(super) use self::message_ids::{OwnIds, id_in, usable_id};
pub use self::post::{PostAnswer, PostError, Poster};
pub(super) use self::provider_url::{as_sent, base_url, below, client_for, provider_url};
pub(super) use self::standing::Standing;
