//! Twilio Verify's API over real sockets.

mod attempts;
mod authentication;
mod bodies;
mod checks;
mod deliveries;
mod long_answers;
mod other_routes;
mod paging;
mod resources;
mod verifications;
