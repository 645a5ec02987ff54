//! The front end over real sockets, with a script in place of the shards.

mod bad_bodies;
mod browsers;
mod callbacks;
mod client;
mod connections;
mod contract;
mod errors_doc;
mod every_answer;
mod forwarding;
mod http2;
mod inbox;
mod logs;
mod openapi;
mod script;
mod send_options;
mod stopping;
mod time_limits;
mod tls;
mod v2;
mod world;
