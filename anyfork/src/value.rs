//! What crosses to another process with a call, and back: values as bytes and descriptors.
//! RUNS IN: caller, child
//!
//! [`Codec`] carries one type. The attribute's code finds a type's codec by
//! [`probe`], so that no type of the user's needs a trait of this
//! library's. How payloads travel is the protocol's business.

pub(crate) mod codecs;
pub(crate) mod fd;
pub(crate) mod fingerprint;
pub(crate) mod parts;
pub(crate) mod probe;
pub(crate) mod text;

use std::fmt;
use std::mem;
use std::os::fd::OwnedFd;

use crate::args::message_fds::MessageFds;

/// Carries values of type `T`.
pub trait Codec<T> {
    /// Appends the value.
    fn encode(&self, value: T, out: &mut Encoder) -> Result<(), ValueError>;

    /// Takes the value.
    fn decode(&self, from: &mut Decoder) -> Result<T, ValueError>;
}

/// Why a value does not encode or decode, in a few words.
#[derive(Debug)]
pub struct ValueError(pub(crate) String);

impl ValueError {
    pub(crate) fn new(reason: impl fmt::Display) -> ValueError {
        ValueError(reason.to_string())
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Minimum length of bytes that travel as a blob, without a copy.
const MIN_BLOB: usize = 32 * 1024;

/// Maximum number of blobs; further bytes are copied.
const MAX_BLOBS: usize = 128;

/// Values that are encoded.
#[derive(Debug, Default)]
pub struct Encoder {
    pub(crate) main: Vec<u8>,
    pub(crate) blobs: Vec<Vec<u8>>,
    pub(crate) fds: Vec<OwnedFd>,
}

impl Encoder {
    pub(crate) fn u8(&mut self, value: u8) {
        self.main.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.main.extend(value.to_le_bytes());
    }

    /// Appends bytes, which are a blob if they are many.
    pub(crate) fn bytes(&mut self, bytes: Vec<u8>) {
        if bytes.len() >= MIN_BLOB && self.blobs.len() < MAX_BLOBS {
            self.u8(1);
            self.blobs.push(bytes);
        } else {
            self.u8(0);
            self.main.extend((bytes.len() as u64).to_le_bytes());
            self.main.extend(bytes);
        }
    }

    /// Appends a descriptor.
    pub(crate) fn fd(&mut self, fd: OwnedFd) {
        self.u32(self.fds.len() as u32);
        self.fds.push(fd);
    }
}

/// Values to be decoded.
#[derive(Debug)]
pub struct Decoder {
    main: Vec<u8>,
    at: usize,
    blobs: std::vec::IntoIter<Vec<u8>>,
    pub(crate) fds: Vec<Option<OwnedFd>>,
    /// Whether a process has chosen them that nobody trusts.
    are_foreign: bool,
}

/// What no value has taken.
impl Drop for Decoder {
    fn drop(&mut self) {
        if self.are_foreign {
            let left = mem::take(&mut self.fds).into_iter().flatten();
            drop(MessageFds::foreign(left.collect()));
        }
    }
}

impl Decoder {
    /// The values in `main` from `at` on.
    pub(crate) fn new(main: Vec<u8>, at: usize, blobs: Vec<Vec<u8>>, fds: MessageFds) -> Decoder {
        Decoder {
            main,
            at,
            blobs: blobs.into_iter(),
            are_foreign: fds.are_foreign(),
            fds: fds.into_vec().into_iter().map(Some).collect(),
        }
    }

    /// The bytes that no value has taken.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.main[self.at..]
    }

    /// Takes all but the last `left` bytes.
    pub(crate) fn skip_to(&mut self, left: usize) {
        self.at = self.main.len() - left;
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let first = self.rest().first_chunk::<N>();
        let array = *first.ok_or_else(|| ValueError::new("it ends too early"))?;
        self.at += N;
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, ValueError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ValueError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, ValueError> {
        match self.u8()? {
            0 => {
                let len = self.array().map(u64::from_le_bytes)?;
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                let bytes = self.rest().get(..len);
                let bytes = bytes.ok_or_else(|| ValueError::new("it ends too early"))?;
                let bytes = bytes.to_vec();
                self.at += len;
                Ok(bytes)
            }
            1 => {
                let blob = self.blobs.next();
                blob.ok_or_else(|| ValueError::new("bytes are missing"))
            }
            _ => Err(ValueError::new("bytes of an unknown kind")),
        }
    }

    pub(crate) fn fd(&mut self) -> Result<OwnedFd, ValueError> {
        let index = self.u32()?;
        let fd = self.fds.get_mut(index as usize).and_then(Option::take);
        fd.ok_or_else(|| ValueError::new("a descriptor is missing"))
    }

    /// Refuses values that nobody has taken.
    pub(crate) fn finish(&self) -> Result<(), ValueError> {
        match self.rest().is_empty() && self.blobs.as_slice().is_empty() {
            true => Ok(()),
            false => Err(ValueError::new("there is more than was expected")),
        }
    }
}
