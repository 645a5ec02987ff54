//! Reading JSON bodies.
//!
//! A body is one JSON object in UTF-8. Fields that nobody asked for are ignored, whatever they
//! hold. A field that is given twice makes the body ambiguous, which is a bad body: a proxy in
//! front could have read the other one.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::domain::{Code, PhoneNumber, Region};
use crate::http::bad_body::BadBody;
use crate::http::problem::Problem;

/// Reads a body into `T`, whose fields are the ones that must be there.
pub fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    // Checked for the whole body: the parser does not look into the strings that it ignores.
    let text = std::str::from_utf8(body).map_err(|_| Problem::BadBody(BadBody::NotUtf8))?;
    let Object(fields) = serde_json::from_str(text).map_err(|error| Problem::BadBody(error.into()))?;
    Ok(fields)
}

/// Reads a field that holds a phone number.
pub fn number(text: &str, default_region: Option<Region>) -> Result<PhoneNumber, Problem> {
    PhoneNumber::parse(text, default_region).map_err(|error| Problem::BadBody(BadBody::Number(error)))
}

/// Reads a field that holds a submitted code. Empty is a bad body; text that cannot be a code is
/// `None`, a wrong code.
pub fn code(text: &str) -> Result<Option<Code>, Problem> {
    if text.is_empty() { Err(Problem::BadBody(BadBody::EmptyCode)) } else { Ok(Code::parse(text)) }
}

/// A JSON object that holds a `T`. Serde's derived structs take an array of the fields' values as
/// well, which is no spelling of the contract.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}
