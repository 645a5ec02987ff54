//! The store for tests.
/// The store.
pub struct MemoryStore {}
/// An injected fault.
pub struct Fault {}
