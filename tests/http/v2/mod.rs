//! Twilio Verify's API over real sockets.

mod attempts;
mod authentication;
mod bodies;
mod deliveries;
mod lists;
mod other_routes;
mod resources;
mod verifications;
