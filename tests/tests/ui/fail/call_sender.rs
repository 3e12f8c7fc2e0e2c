//! What a `Sender` cannot be.

use anyfork::Sender;

type Untyped = Sender<u8>;

mod untyped {
    pub(super) type Sender = super::Untyped;
}

#[anyfork::call]
fn two(_one: Sender<u8>, _other: Sender<String>) {}

#[anyfork::call]
fn unknown(_sender: untyped::Sender) {}

#[anyfork::call]
fn borrowed(_sender: Sender<&'static str>) {}

fn main() {}
