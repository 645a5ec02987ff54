//! More than the machine or its limits can take: refused by name, soon, and without harm to what was
//! accepted. `docs/operate/sizing.md` says what is refused when.

mod connections;
mod frames;
mod numbers;
mod sends;
mod slow;
mod streams;
mod tenants;
