//! The front end over real sockets and in memory, with the server below it over a store in memory (`crates/testkit`).

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod bodies;
mod callbacks;
mod cluster;
mod connections;
mod contract;
mod every_answer;
mod http2;
mod inbox;
mod time_limits;
mod tls;
mod two_taps;
mod v2;
mod world_numbers;
