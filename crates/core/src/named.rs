/// Declares an enum whose variants have names, and `as_str`, which tells them. With `ALL:` in front it has the list of its
/// variants too.
#[doc(hidden)]
#[macro_export]
macro_rules! named {
    (ALL: $(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal,)+ }) => {
        $crate::named! { $(#[$meta])* $vis enum $name { $($(#[$about])* $variant = $text,)+ } }

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
