//! [`Json`] and [`Postcard`]: values of serde's types as arguments.
//! RUNS IN: caller, child

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::args::value::{Arg, ArgError, FromArg, IntoArg};

/// A serde value that travels as JSON: an argument of a worker, or a value in a typed call that
/// postcard cannot carry (`#[serde(flatten)]`, untagged enums, `serde_json::Value`).
///
/// ```
/// use anyfork::{FromArg, IntoArg, Json};
///
/// # fn main() -> Result<(), anyfork::ArgError> {
/// let arg = Json(vec![1, 2]).into_arg()?;
/// let Json(back) = Json::<Vec<u32>>::from_arg(arg)?;
/// assert_eq!(back, [1, 2]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Json<T>(pub T);

/// A serde value that travels in postcard's format, which is short and fast: an argument of a
/// worker.
///
/// ```
/// use anyfork::{FromArg, IntoArg, Postcard};
///
/// # fn main() -> Result<(), anyfork::ArgError> {
/// let arg = Postcard((7, "seven".to_owned())).into_arg()?;
/// let Postcard(back) = Postcard::<(i32, String)>::from_arg(arg)?;
/// assert_eq!(back, (7, "seven".to_owned()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Postcard<T>(pub T);

/// The conversions of a format.
macro_rules! format {
    ($name:ident, $write:expr, $read:expr) => {
        #[diagnostic::do_not_recommend]
        impl<T: Serialize> IntoArg for $name<T> {
            fn into_arg(self) -> Result<Arg, ArgError> {
                $write(&self.0).map(Arg::Bytes).map_err(ArgError::new)
            }
        }

        #[diagnostic::do_not_recommend]
        impl<T: DeserializeOwned> FromArg for $name<T> {
            fn from_arg(arg: Arg) -> Result<$name<T>, ArgError> {
                match arg {
                    Arg::Bytes(bytes) => $read(&bytes).map($name).map_err(ArgError::new),
                    Arg::Fd(_) => Err(ArgError::new("bytes are wanted")),
                }
            }
        }

        /// Within another binary format, this is serialized as bytes of its own format; within a
        /// human-readable one, as the value itself.
        impl<T: Serialize> Serialize for $name<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    return self.0.serialize(serializer);
                }
                let bytes = $write(&self.0).map_err(ser::Error::custom)?;
                serializer.serialize_bytes(&bytes)
            }
        }

        impl<'de, T: DeserializeOwned> Deserialize<'de> for $name<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name<T>, D::Error> {
                struct Bytes<T>(PhantomData<T>);

                impl<T: DeserializeOwned> Visitor<'_> for Bytes<T> {
                    type Value = T;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("bytes")
                    }

                    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<T, E> {
                        $read(bytes).map_err(E::custom)
                    }
                }

                if deserializer.is_human_readable() {
                    return T::deserialize(deserializer).map($name);
                }
                deserializer
                    .deserialize_bytes(Bytes(PhantomData))
                    .map($name)
            }
        }
    };
}

format!(Json, serde_json::to_vec, serde_json::from_slice);
format!(Postcard, postcard::to_stdvec, postcard::from_bytes);
