//! The embedded store.
/// The store.
pub struct EmbeddedStore {}
/// How to open it.
pub struct OpenOptions {}
/// Why it did not open.
pub struct OpenError {}
