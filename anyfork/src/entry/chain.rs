//! [`Returned`]: a returned value, and the text of its error with all sources.
//! RUNS IN: template, child
//!
//! Only the attributes' code, which knows the type, can tell whether an error has
//! sources: the method is found by the compiler in the first of the traits here whose
//! implementation fits. Each takes a reference less than the one before
//! (autoref specialization).

use std::error::Error;
use std::fmt::{Display, Write};

/// What a function has returned.
pub struct Returned<R>(pub R);

/// The text of an error, and those of its sources behind it that are not in it already:
/// some errors print their sources themselves, `anyhow` and `eyre` with `{:#}`.
fn text(error: &dyn Display, mut source: Option<&(dyn Error + 'static)>) -> String {
    let mut text = format!("{error:#}");
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            let _ = write!(text, ": {more}");
        }
        source = error.source();
    }
    text
}

/// Of an error of the usual kind.
pub trait OfError {
    /// The text; `None` of a success.
    fn __anyfork_error_text(&self) -> Option<String>;
}

impl<T, E: Error> OfError for &&&&Returned<Result<T, E>> {
    fn __anyfork_error_text(&self) -> Option<String> {
        let error = self.0.as_ref().err()?;
        Some(text(error, error.source()))
    }
}

macro_rules! of_boxed {
    ($($(#[$doc:meta])* $name:ident: $error:ty, $target:ty;)*) => {$(
        $(#[$doc])*
        pub trait $name {
            /// The text; `None` of a success.
            fn __anyfork_error_text(&self) -> Option<String>;
        }

        impl<T, E: AsRef<$error> + Display> $name for $target {
            fn __anyfork_error_text(&self) -> Option<String> {
                let error = self.0.as_ref().err()?;
                Some(text(error, error.as_ref().source()))
            }
        }
    )*};
}

of_boxed! {
    /// Of `Box<dyn Error>`, and of the types of `anyhow` and `eyre`.
    OfBoxed: dyn Error, &&&Returned<Result<T, E>>;
    /// Of `Box<dyn Error + Send + Sync>`.
    OfBoxedSync: dyn Error + Send + Sync, &&Returned<Result<T, E>>;
    /// Of `Box<dyn Error + Send>`.
    OfBoxedSend: dyn Error + Send, &Returned<Result<T, E>>;
}

/// Of anything else.
pub trait OfOther {
    /// `None`: the value's own text is all that there is.
    fn __anyfork_error_text(&self) -> Option<String> {
        None
    }
}

impl<R> OfOther for Returned<R> {}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::io;

    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error, &'static str);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.1)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    fn outer(text: &'static str) -> Outer {
        Outer(io::Error::other(Outer(io::Error::other("c"), "b")), text)
    }

    macro_rules! text_of {
        ($type:ty, $error:expr) => {{
            let returned = Returned(Err::<(), $type>($error));
            (&&&&&returned).__anyfork_error_text()
        }};
    }

    #[test]
    #[allow(
        clippy::needless_borrow,
        reason = "the number of them chooses the trait"
    )]
    fn an_error_has_its_sources() {
        let chain = Some("a: b: c".to_owned());
        assert_eq!(text_of!(Outer, outer("a")), chain);
        assert_eq!(text_of!(Box<dyn Error>, outer("a").into()), chain);
        type Sync = Box<dyn Error + Send + std::marker::Sync>;
        assert_eq!(text_of!(Sync, outer("a").into()), chain);
        assert_eq!(text_of!(Box<dyn Error + Send>, Box::new(outer("a"))), chain);
        // What an error prints already is not printed again.
        assert_eq!(
            text_of!(Outer, outer("a: b: c")),
            Some("a: b: c".to_owned())
        );
        assert_eq!(text_of!(&str, "a"), None);
        assert_eq!(text_of!(String, "a".into()), None);
        let fine = Returned(Ok::<(), Outer>(()));
        assert_eq!((&&&&&fine).__anyfork_error_text(), None);
        assert_eq!((&&&&&Returned(())).__anyfork_error_text(), None);
    }
}
