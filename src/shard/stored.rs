//! A record on its way between transactions, tables, indexes and the store.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::record::{Record, decode, encode};
use crate::domain::Timestamp;

/// A record and its expiry time. What a decision wrote stays decoded, and is encoded once, when its bytes are needed first.
#[derive(Clone)]
pub struct Stored {
    form: Form,
    /// The expiry time.
    pub expires: Timestamp,
}

#[derive(Clone)]
enum Form {
    Encoded(Bytes),
    Decoded(Arc<Decoded<dyn AnyRecord>>),
}

struct Decoded<R: ?Sized> {
    bytes: OnceLock<Bytes>,
    record: R,
}

trait AnyRecord: Any + Send + Sync {
    fn encode(&self) -> Bytes;
}

impl<R: Record> AnyRecord for R {
    fn encode(&self) -> Bytes {
        encode(self)
    }
}

impl Stored {
    /// A decoded record.
    pub fn of<R: Record>(record: R) -> Self {
        let expires = record.expires();
        Self { form: Form::Decoded(Arc::new(Decoded { bytes: OnceLock::new(), record })), expires }
    }

    /// A record as [`encode`] writes it, which ends at `expires`.
    pub const fn encoded(bytes: Bytes, expires: Timestamp) -> Self {
        Self { form: Form::Encoded(bytes), expires }
    }

    /// The bytes of the record.
    pub fn bytes(&self) -> Bytes {
        match &self.form {
            Form::Encoded(bytes) => bytes.clone(),
            Form::Decoded(decoded) => decoded.bytes.get_or_init(|| decoded.record.encode()).clone(),
        }
    }

    /// The record; `None` if it is of another kind.
    pub fn record<R: Record>(&self) -> Option<R> {
        match &self.form {
            Form::Decoded(decoded) => (&decoded.record as &dyn Any).downcast_ref().cloned(),
            Form::Encoded(bytes) => match decode(bytes) {
                Ok(record) => Some(record),
                Err(error) => {
                    // Restored records were decoded once; therefore this is a defect of this program.
                    tracing::error!(%error, "record in memory unreadable");
                    None
                }
            },
        }
    }

    /// Whether both are the same record of the kind `R`.
    pub(super) fn is_same<R: Record>(&self, other: &Self) -> bool {
        match (&self.form, &other.form) {
            (Form::Decoded(one), Form::Decoded(other)) => {
                let (one, other) = (&one.record as &dyn Any, &other.record as &dyn Any);
                one.downcast_ref::<R>() == other.downcast_ref::<R>()
            }
            _ => self.bytes() == other.bytes(),
        }
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.expires == other.expires && self.bytes() == other.bytes()
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("bytes", &self.bytes())
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde::{Deserialize, Serialize, Serializer};

    use super::*;

    thread_local! {
        static ENCODED: Cell<u32> = const { Cell::new(0) };
    }

    /// A record that counts how often it is encoded.
    #[derive(Debug, Clone, PartialEq, Deserialize)]
    struct Counted(u32);

    impl Serialize for Counted {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            ENCODED.set(ENCODED.get() + 1);
            to.serialize_newtype_struct("Counted", &self.0)
        }
    }

    impl Record for Counted {
        const KIND: u8 = 200;
        const PLURAL: &'static str = "counted";

        fn expires(&self) -> Timestamp {
            Timestamp::MAX
        }
    }

    #[test]
    fn a_written_record_is_compared_as_it_is_and_encoded_once() {
        let (one, same, other) = (Stored::of(Counted(1)), Stored::of(Counted(1)), Stored::of(Counted(2)));
        assert!(one.is_same::<Counted>(&same) && !one.is_same::<Counted>(&other));
        assert_eq!((one.record(), ENCODED.get()), (Some(Counted(1)), 0));
        let bytes = [one.clone().bytes(), one.bytes()];
        assert_eq!((&bytes[0], ENCODED.get()), (&bytes[1], 1));
        let read = Stored::encoded(bytes[0].clone(), Timestamp::MAX);
        assert!(read.is_same::<Counted>(&one) && !read.is_same::<Counted>(&other));
        assert_eq!(read.record(), Some(Counted(1)));
    }
}
