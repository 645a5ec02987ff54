//! More load than the machine or its limits can take: the server refuses it by name and soon, and keeps what it
//! accepted. `docs/operate/sizing.md` says what it refuses when.

mod connections;
mod frames;
mod numbers;
mod sends;
mod slow;
mod streams;
mod tenants;
