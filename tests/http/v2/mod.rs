//! Twilio Verify's API over real sockets, with scripted verifications and a real registry.

mod attempts;
mod authentication;
mod bodies;
mod checks;
mod deliveries;
mod long_answers;
mod other_routes;
mod paging;
mod refusals;
mod resources;
mod verifications;
