//! The envelope every record is stored in: version, body, checksum.
/// A record.
pub struct Record {}
/// Why bytes are not a record.
pub struct RecordError {}
