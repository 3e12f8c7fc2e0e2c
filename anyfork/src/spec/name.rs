//! [`FunctionName`]: the registered function that a caller asks for.
//! RUNS IN: caller, template, child
//!
//! Names need not be unique: two crates, or two versions of one crate, may have a
//! function of the same path. A companion knows the function that it stands beside, and
//! asks for it by its [`Identity`], too.

use std::any::TypeId;
use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A function's name or the tail of one, and its identity if a companion asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FunctionName<'a> {
    pub(crate) name: Cow<'a, str>,
    /// Which function of that name is meant.
    pub(crate) identity: Option<Identity>,
}

/// What tells functions of the same name apart: a digest of the type of the companion.
///
/// The compiler makes a type's id of the crate, with its version and its source, and of
/// the place of the type in the crate. So the identity is the same in every program with
/// the same crate that the same compiler has built; in another program it may be unknown,
/// and then the name alone counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(pub(crate) u64);

impl Identity {
    /// The identity of the function whose companion has this type.
    pub(crate) fn of(companion: TypeId) -> Identity {
        // Without a key of the process: another process has to get the same digest.
        let mut hasher = DefaultHasher::new();
        companion.hash(&mut hasher);
        Identity(hasher.finish())
    }
}

/// The name of the library's own worker, in which typed calls run. Processes are called by
/// its last part.
#[cfg(feature = "pool")]
pub(crate) const CALL_LOOP: &str = "anyfork::pool";

/// The name of the library's own worker that serves one call, which it gets as an argument.
#[cfg(feature = "pool")]
pub(crate) const ONE_CALL: &str = "anyfork::call";

/// The name of the library's own init function that sends a worker's spans and events home.
#[cfg(all(feature = "pool", feature = "tracing"))]
pub(crate) const TRACE_INIT: &str = "anyfork::tracing";

/// What stands in for the companion of these.
#[cfg(feature = "pool")]
pub(crate) enum CallLoop {}

impl FunctionName<'static> {
    /// The function that the companion `T` stands beside.
    pub(crate) fn of_companion<T: 'static>(name: &str) -> FunctionName<'static> {
        FunctionName {
            name: Cow::Owned(name.to_owned()),
            identity: Some(Identity::of(TypeId::of::<T>())),
        }
    }
}

impl FunctionName<'_> {
    /// The same name, independent of what it was borrowed from.
    pub(crate) fn into_owned(self) -> FunctionName<'static> {
        FunctionName {
            name: Cow::Owned(self.name.into_owned()),
            identity: self.identity,
        }
    }
}

/// Any function of that name.
impl<'a> From<&'a str> for FunctionName<'a> {
    fn from(name: &'a str) -> FunctionName<'a> {
        FunctionName {
            name: Cow::Borrowed(name),
            identity: None,
        }
    }
}

/// Any function of that name.
impl From<String> for FunctionName<'static> {
    fn from(name: String) -> FunctionName<'static> {
        FunctionName {
            name: Cow::Owned(name),
            identity: None,
        }
    }
}

/// The name alone, which is all that titles and messages show.
impl fmt::Display for FunctionName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companions_of_the_same_name_differ() {
        mod a {
            pub(crate) enum Resize {}
        }
        mod b {
            pub(crate) enum Resize {}
        }
        let [a, b] = [
            FunctionName::of_companion::<a::Resize>("resize"),
            FunctionName::of_companion::<b::Resize>("resize"),
        ];
        assert_eq!((&a.name, a.to_string().as_str()), (&b.name, "resize"));
        assert_ne!(a.identity, b.identity);
        assert_eq!(a, FunctionName::of_companion::<a::Resize>("resize"));
    }
}
