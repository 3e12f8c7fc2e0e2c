//! Finds the codec of a type by the compiler's method lookup, in the attribute's code.
//! RUNS IN: caller, child
//!
//! A method is looked up on a probe with several references: traits for which the type
//! does not qualify are passed over, and each lower one is implemented for one reference
//! less. So a type gets the first codec that fits, without a trait of the user's, and also
//! behind an alias. The last fits every type, and demands [`Crosses`] of it, which is the
//! one error that the compiler reports.

use std::io;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::value::codecs::{Bytes, Byteslike, Failures, Fdlike, Fds, IoErrors, Serde, Unsupported};

/// A slot that a type does not use.
pub struct Empty;

/// Asks for the codec of a type.
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    /// The probe.
    #[allow(clippy::new_without_default, reason = "the attribute's code calls it")]
    pub const fn new() -> Probe<T> {
        Probe(PhantomData)
    }
}

/// Descriptors.
pub trait FdLeaf<T> {
    /// The codec.
    fn leaf(&self) -> Fds<T>;
}

impl<T: Fdlike> FdLeaf<T> for &&&&Probe<T> {
    fn leaf(&self) -> Fds<T> {
        Fds(PhantomData)
    }
}

/// Bytes.
pub trait BytesLeaf<T> {
    /// The codec.
    fn leaf(&self) -> Bytes<T>;
}

impl<T: Byteslike> BytesLeaf<T> for &&&Probe<T> {
    fn leaf(&self) -> Bytes<T> {
        Bytes(PhantomData)
    }
}

/// Errors of the system and of this library's.
pub trait ErrorLeaf {
    /// The codec.
    type Codec;
    /// The codec.
    fn leaf(&self) -> Self::Codec;
}

impl ErrorLeaf for &&Probe<io::Error> {
    type Codec = IoErrors;
    fn leaf(&self) -> IoErrors {
        IoErrors
    }
}

impl ErrorLeaf for &&Probe<Failure> {
    type Codec = Failures;
    fn leaf(&self) -> Failures {
        Failures
    }
}

/// Types of serde.
pub trait SerdeLeaf<T> {
    /// The codec.
    fn leaf(&self) -> Serde<T>;
}

impl<T: Serialize + DeserializeOwned> SerdeLeaf<T> for &Probe<T> {
    fn leaf(&self) -> Serde<T> {
        Serde(PhantomData)
    }
}

/// All other types.
pub trait NoLeaf<T> {
    /// The codec that is none.
    fn leaf(&self) -> Unsupported<T>
    where
        T: Crosses;
}

impl<T> NoLeaf<T> for Probe<T> {
    fn leaf(&self) -> Unsupported<T>
    where
        T: Crosses,
    {
        Unsupported(PhantomData)
    }
}

/// What no type of the user's is: the compiler reports it for a type without a codec, in
/// fewer words than for a codec that is missing somewhere inside.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot cross to another process",
    label = "neither a parameter nor a result of a call",
    note = "a type of yours crosses if it derives `serde::Serialize` and `serde::Deserialize`, without borrowed fields",
    note = "an error of any other kind (`anyhow::Error`, `Box<dyn Error>`, `anyfork::Error`) crosses as text: `#[anyfork::call(text_errors)]`",
    note = "bytes, text, paths, descriptors and `Vec`s of descriptors cross as they are; a descriptor inside a structure is `anyfork::Fd`"
)]
pub trait Crosses {}

#[diagnostic::do_not_recommend]
impl Crosses for Empty {}
