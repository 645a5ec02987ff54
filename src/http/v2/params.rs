//! Parameters of requests: how a route declares them, how they are described, and how they are read. `types` has the types
//! that a parameter can have, `fields` the parameters as they were sent.
//!
//! Names are Twilio's, in its case. Unknown parameters are ignored, whatever they hold. A known one that is given twice is
//! refused: a proxy in front could have read the other one.

use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

use super::error::Error;
pub use super::fields::Fields;
pub use super::types::*;

pub trait Parameters: Sized {
    const NAMES: &'static [&'static str];

    /// Reads them.
    ///
    /// # Errors
    /// 60200 with the name of the first that cannot be used.
    fn read(fields: &Fields) -> Result<Self, Error>;

    fn describe() -> Vec<Param>;
}

/// A route without parameters.
impl Parameters for () {
    const NAMES: &'static [&'static str] = &[];

    fn read(_: &Fields) -> Result<Self, Error> {
        Ok(())
    }

    fn describe() -> Vec<Param> {
        Vec::new()
    }
}

/// Declares a struct with the parameters of a route: for each its meaning, its name, an example, and the field with its
/// type, which is an `Option` if the parameter may be absent. Those behind `checked` are refused if they are wrong, and have no
/// other effect. `not_served` lists what Twilio reads here and this server refuses, to tell the client that it would have no
/// effect.
macro_rules! parameters {
    ($(#[$meta:meta])* $visibility:vis struct $struct:ident {
        $($(#[doc = $about:literal])+ $name:literal = $example:literal => $field:ident: $type:ty,)*
    } $(checked {
        $($(#[doc = $checked_about:literal])+ $checked:literal = $checked_example:literal => $checked_type:ty,)*
    })? $(not_served $refused:expr)?) => {
        $(#[$meta])*
        $visibility struct $struct {
            $(pub $field: $type,)*
        }

        impl $crate::http::v2::params::Parameters for $struct {
            const NAMES: &'static [&'static str] = &[$($name),*];

            fn read(fields: &$crate::http::v2::params::Fields) -> Result<Self, $crate::http::v2::Error> {
                $(fields.refuse(&$refused)?;)?
                $($(<$checked_type as $crate::http::v2::params::Parameter>::read(fields, $checked)?;)*)?
                Ok(Self { $($field: $crate::http::v2::params::Parameter::read(fields, $name)?,)* })
            }

            fn describe() -> Vec<$crate::http::v2::params::Param> {
                vec![
                    $($crate::http::v2::params::Param::of::<$type>($name, concat!($($about),+), $example),)*
                    $($($crate::http::v2::params::Param::of::<$checked_type>(
                        $checked,
                        concat!($($checked_about),+),
                        $checked_example,
                    ),)*)?
                ]
            }
        }
    };
}
pub(in crate::http) use parameters;

pub struct Param {
    pub name: String,
    pub required: bool,
    pub about: String,
    pub example: Value,
    /// Its values in a path, a query, a header or a form.
    pub schema: Schema,
    /// Its values in a JSON body.
    pub json_schema: Schema,
}

impl Param {
    /// Describes a parameter of this type.
    pub fn of<P: Parameter>(name: &str, about: &str, example: &str) -> Self {
        let about = about.trim();
        let schema = P::schema();
        let example = match &schema {
            Schema::Array(_) => vec![example].into(),
            // A number or a truth value is one in JSON too.
            Schema::Object(object) if object.schema_type != SchemaType::Type(Type::String) => {
                serde_json::from_str(example).unwrap_or_else(|_| example.into())
            }
            _ => example.into(),
        };
        Self {
            name: name.to_owned(),
            required: P::REQUIRED,
            about: about.to_owned(),
            example,
            json_schema: finished(in_json(schema.clone()), about, P::REQUIRED, !P::REQUIRED),
            schema: finished(schema, about, P::REQUIRED, false),
        }
    }

    /// Describes a variable segment of a path.
    pub fn in_path(name: &str, about: &str, example: &str, pattern: &str) -> Self {
        let schema = finished(super::types::matching(pattern), about, true, false);
        Self {
            name: name.to_owned(),
            required: true,
            about: about.to_owned(),
            example: example.into(),
            json_schema: schema.clone(),
            schema,
        }
    }

    /// The members of an object, from its schema: for JSON bodies that serde reads, and rules that have a JSON schema.
    pub fn of_object(schema: RefOr<Schema>) -> Vec<Self> {
        let RefOr::T(Schema::Object(object)) = schema else { return Vec::new() };
        let Object { properties, required, .. } = object;
        let members = properties.into_iter().filter_map(|(name, schema)| match schema {
            RefOr::T(schema) => Some((name, schema)),
            RefOr::Ref(_) => None,
        });
        members
            .map(|(name, schema)| {
                let (about, example) = match &schema {
                    Schema::Object(Object { description, example, .. }) => {
                        (description.clone(), example.clone())
                    }
                    _ => (None, None),
                };
                let (about, example) = (about.unwrap_or_default(), example.unwrap_or_default());
                let required = required.contains(&name);
                Self { name, required, about, example, schema: schema.clone(), json_schema: schema }
            })
            .collect()
    }

    /// Its values, in a few words.
    pub fn accepts(&self) -> String {
        let Schema::Object(object) = &self.schema else { return "names".to_owned() };
        if let Some(words) = &object.enum_values {
            return words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ");
        }
        if object.content_media_type == JSON || !object.properties.is_empty() {
            return "JSON object".to_owned();
        }
        match &object.schema_type {
            SchemaType::Type(Type::Integer) => {
                let bound = |value: &Option<_>| serde_json::to_value(value).unwrap_or_default();
                format!("{} to {}", bound(&object.minimum), bound(&object.maximum))
            }
            SchemaType::Type(Type::Boolean) => "true | false".to_owned(),
            _ => match object.max_length {
                Some(longest) => format!("text, at most {longest} characters"),
                None => "text".to_owned(),
            },
        }
    }
}

pub(super) const JSON: &str = "application/json";

/// The schema of a parameter in a JSON body: an object in a text may also be an object there.
fn in_json(schema: Schema) -> Schema {
    match schema {
        Schema::Object(object) if object.content_media_type == JSON => {
            let types = SchemaType::Array(vec![Type::String, Type::Number, Type::Boolean]);
            let value = Schema::from(ObjectBuilder::new().schema_type(types).build());
            let members = ObjectBuilder::new().additional_properties(Some(AdditionalProperties::from(value)));
            OneOfBuilder::new().item(object).item(members.schema_type(Type::Object).build()).build().into()
        }
        other => other,
    }
}

/// Adds what depends on the place of a type: its meaning, whether it may be empty, and whether it may be null.
fn finished(schema: Schema, about: &str, required: bool, nullable: bool) -> Schema {
    match schema {
        Schema::Object(mut object) => {
            object.description = Some(about.to_owned());
            let absent = if required { "" } else { "?" };
            object.pattern = object.pattern.map(|pattern| format!("^({pattern}){absent}$"));
            object.min_length = object.max_length.filter(|_| required).map(|_| 1);
            if nullable && let SchemaType::Type(one) = object.schema_type {
                object.schema_type = SchemaType::Array(vec![one, Type::Null]);
                object.enum_values.iter_mut().for_each(|values| values.push(Value::Null));
            }
            Schema::Object(object)
        }
        Schema::Array(mut array) => {
            array.description = Some(about.to_owned());
            array.min_items = required.then_some(1);
            Schema::Array(array)
        }
        Schema::OneOf(mut either) => {
            either.description = Some(about.to_owned());
            if nullable {
                either.items.push(Schema::from(ObjectBuilder::new().schema_type(Type::Null).build()).into());
            }
            Schema::OneOf(either)
        }
        other => other,
    }
}

/// A type that a parameter can have.
pub trait Parameter: Sized {
    /// Whether a request without it is refused.
    const REQUIRED: bool = true;

    /// Reads the parameter; `None` if it is absent, null or empty.
    ///
    /// # Errors
    /// 60200, with what it must be.
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error>;

    /// Its values. A pattern is without `^` and `$`.
    fn schema() -> Schema;

    /// Reads the parameter.
    ///
    /// # Errors
    /// As `find`, and if it is absent and required.
    fn read(fields: &Fields, name: &str) -> Result<Self, Error> {
        Self::find(fields, name)?.ok_or_else(|| Error::missing(name))
    }
}

impl<T: Parameter> Parameter for Option<T> {
    const REQUIRED: bool = false;

    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        Self::read(fields, name).map(Some)
    }

    fn schema() -> Schema {
        T::schema()
    }

    fn read(fields: &Fields, name: &str) -> Result<Self, Error> {
        T::find(fields, name)
    }
}
