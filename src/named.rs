//! Enums whose variants have names, in records, answers, metrics and logs.

/// Declares an enum with a name for each variant, and `as_str`, which tells it. With `ALL:` in front it has the list of its
/// variants too.
macro_rules! named {
    (ALL: $(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal,)+ }) => {
        $crate::named::named! { $(#[$meta])* $vis enum $name { $($(#[$about])* $variant = $text,)+ } }

        impl $name {
            /// Every one, in this order.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];
        }
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        $vis enum $name {
            $($(#[$about])* $variant),+
        }

        impl $name {
            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }
    };
}
pub(crate) use named;
