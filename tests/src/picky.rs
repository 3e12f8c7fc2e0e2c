//! A value that crosses only if it is fine.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// Encodes unless it is 1, and decodes unless it is 2.
#[derive(Debug)]
pub struct Picky(pub u8);

impl Serialize for Picky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            1 => Err(ser::Error::custom("one does not go")),
            n => serializer.serialize_u8(n),
        }
    }
}

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Picky, D::Error> {
        match u8::deserialize(deserializer)? {
            2 => Err(de::Error::custom("two does not arrive")),
            n => Ok(Picky(n)),
        }
    }
}
