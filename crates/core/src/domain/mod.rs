//! The words of the field as types, parsed once at the edge.
//!
//! Nothing here does I/O, reads a clock or draws randomness. Personal data and secrets cannot be
//! printed by accident: their `Debug` and `Display` are masked.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

/// Declares an enum with `ALL`, `as_str` and `Display`.
#[macro_export]
macro_rules! named {
    (
        $(#[$of_type:meta])*
        $visibility:vis enum $type:ident { $($(#[$of_variant:meta])* $variant:ident = $name:literal,)+ }
    ) => {
        $(#[$of_type])*
        $visibility enum $type { $($(#[$of_variant])* $variant,)+ }

        impl $type {
            /// Every variant, in the order of the declaration.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The text of the variant in settings, lists, logs and ids, and on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

mod code;
mod gateway;
mod ids;
mod locale;
mod phone;
mod plans;
mod routing;
mod secret;
mod time;
mod typed;
mod values;

pub use code::{Code, CodeLength};
pub use gateway::{
    Channel, GatewayName, Held, NamedGateway, WorkflowStep, workflow, workflow_steps, workflow_text,
};
pub use ids::{
    AttemptId, AttemptLogKey, NumberKey, ServiceId, Sid, SidKind, friendly_name, is_name, note, one_line,
    record_id, record_id_parts, short_name,
};
pub use locale::Locale;
pub use phone::{NumberError, NumberProblem, NumberType, PhoneNumber, Region, mask_number};
pub use plans::{LineType, NumberLookup, is_of_fiction, number_pattern, pattern_covers};
pub use routing::{Routing, RoutingEntry, RoutingError};
pub use secret::ServerKey;
pub use time::{Timestamp, minutes_up, seconds_up};
pub use typed::meant;
pub use values::{
    DAY, HOUR, LockoutTime, MINUTE, MustBe, SECOND, ServiceTime, Time, Whole, checked, optional, text,
    text_of, time_text,
};
