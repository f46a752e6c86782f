//! How the rejections of an aggregate are written down: one line each, with kind, code and sentence.

/// Declares the rejections of one aggregate. Each line: `Variant = Kind "code": "sentence for people"`.
macro_rules! rejections {
    ($(#[$doc:meta])* pub enum $name:ident { $($variant:ident = $kind:ident $code:literal: $sentence:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum $name {
            $(#[doc = $sentence] #[error($sentence)] $variant,)*
        }

        impl $name {
            /// All of them, in the order of their declaration: what the documentation of the routes lists.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
        }

        impl crate::aggregate::Rejection for $name {
            fn code(&self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }
            fn kind(&self) -> crate::aggregate::RejectionKind {
                match self { $(Self::$variant => crate::aggregate::RejectionKind::$kind),* }
            }
        }
    };
}
pub(crate) use rejections;
