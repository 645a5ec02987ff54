//! The front end over real sockets, with a script in the place of the shards.

mod bad_bodies;
mod browsers;
mod callbacks;
mod client;
mod connections;
mod contract;
mod every_answer;
mod generated;
mod http2;
mod logs;
mod script;
mod stopping;
mod time_limits;
mod tls;
mod v2;
mod wishes;
mod world;
