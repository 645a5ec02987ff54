//! Who owns a number, in what order its commands are decided, and until when.

mod verifier;

pub use verifier::{CheckAnswer, CheckRequest, Refusal, SendAnswer, SendRequest, Verifier};
