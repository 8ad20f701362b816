//! The two macros that the constants are written with, and the one for structures.

/// Defines constants of one type: `consts! { /// doc  u32 { NAME = 1, } }`.
macro_rules! consts {
    (#[doc = $doc:literal] $t:ty { $($name:ident = $value:literal),* $(,)? }) => {
        $( #[doc = $doc] pub const $name: $t = $value; )*
    };
}

/// Defines a set of flags, and each flag also as a plain constant of the same name.
macro_rules! flags {
    (#[doc = $doc:literal] $set:ident: $t:ty { $($name:ident = $value:literal),* $(,)? }) => {
        bitflags::bitflags! {
            #[doc = $doc]
            #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
            pub struct $set: $t {
                $( #[doc = $doc] const $name = $value; )*
            }
        }
        $( #[doc = $doc] pub const $name: $t = $value; )*
    };
}

/// Defines structures with C's layout whose default is all zeroes: `structs! { /// doc  Name = "struct c_name" { .. } }`.
///
/// A name that starts with `libc:` is looked for in the C library's headers when tests compare the layout, an
/// empty one nowhere. Fields that start with `_` fill gaps.
macro_rules! structs {
    ($( $(#[$doc:meta])* $name:ident = $c:literal { $( $(#[$fdoc:meta])* $field:ident: $t:ty ),* $(,)? } )*) => {
        $(
            $(#[$doc])*
            #[derive(
                Clone, Copy, PartialEq, Eq, Debug,
                zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable,
            )]
            #[repr(C)]
            pub struct $name {
                $( $(#[$fdoc])* pub $field: $t, )*
            }

            impl Default for $name {
                fn default() -> Self {
                    zerocopy::FromZeros::new_zeroed()
                }
            }
        )*

        #[cfg(test)]
        pub(crate) const LAYOUTS: &[crate::layout::Layout] = &[ $(
            crate::layout::Layout {
                name: stringify!($name), c: $c, size: size_of::<$name>(),
                fields: &[ $( (stringify!($field), core::mem::offset_of!($name, $field)) ),* ],
            },
        )* ];
    };
}
