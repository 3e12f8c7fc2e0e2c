//! One name stands for one function.

use std::os::fd::OwnedFd;

#[anyfork::worker]
fn with_type<T: Default>(_socket: OwnedFd) {
    drop(T::default());
}

#[anyfork::worker]
fn with_const<const N: usize>(_socket: OwnedFd) {}

#[anyfork::worker]
fn with_lifetime<'a>(_socket: OwnedFd, _text: &'a str) {}

#[anyfork::worker]
fn with_where(_socket: OwnedFd)
where
    String: Clone,
{
}

#[anyfork::worker]
fn with_impl(_socket: OwnedFd, _text: impl Into<String>) {}

#[anyfork::worker]
fn with_impl_inside(_socket: OwnedFd, _text: Option<impl Into<String>>) {}

fn main() {}
