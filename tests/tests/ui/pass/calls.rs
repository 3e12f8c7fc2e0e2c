//! Functions that are called stand anywhere a function does, under strict lints, at any
//! visibility, under any names, also where a re-export stands for the library.
#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    unreachable_pub,
    private_interfaces,
    unused_qualifications,
    unused_must_use
)]
#![allow(non_upper_case_globals)]

use ::anyfork::Process;

// What expansions would name without a path.
#[allow(dead_code)]
mod core {}
#[allow(dead_code)]
mod std {}
#[allow(dead_code)]
struct Some;
#[allow(dead_code)]
struct Ok;
#[allow(dead_code)]
enum Option {}
#[allow(dead_code)]
const value: u8 = 0;

/// Stands for the crate that re-exports.
pub mod framework {
    pub use anyfork as processes;

    /// An attribute of the framework's own could expand to this.
    #[macro_export]
    macro_rules! job {
        ($name:ident($argument:ident: $ty:ty) -> $output:ty = $registered:literal) => {
            #[anyfork::call(crate = $crate::framework::processes, name = $registered)]
            fn $name($argument: $ty) -> $output {
                $argument.into()
            }
        };
    }
}

/// Public, and so is its companion.
#[anyfork::call]
pub fn public(text: String) -> usize {
    text.len()
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Own(u8);

#[anyfork::call]
pub(crate) fn of_the_crate(own: Own) -> Own {
    own
}

#[anyfork::call(crate = crate::framework::processes)]
fn names(on: u8, entry: u8, call: u8, arg1: u8, codec1: u8, r#fn: u8, from: u8) -> Vec<u8> {
    [on, entry, call, arg1, codec1, r#fn, from].to_vec()
}

#[anyfork::call]
fn patterns((a, b): (u8, u8), _: u8, mut c: u8, [d]: [u8; 1]) -> Vec<u8> {
    c += 1;
    [a, b, c, d].to_vec()
}

job!(from_a_macro(number: u8) -> u64 = "macro");

/// Old.
#[deprecated]
#[anyfork::call]
fn old() {}

#[anyfork::call]
#[allow(clippy::too_many_arguments)]
async fn asynchronous(_a: u8, _b: u8, _c: u8, _d: u8, _e: u8, _f: u8, _g: u8, _h: u8) -> u8 {
    _a + _h
}

#[cfg(any())]
#[anyfork::call]
fn compiled_out(_nothing: NoSuchType) {}

mod inner {
    #[anyfork::call]
    pub(super) fn r#type(r#match: u8) -> u8 {
        r#match
    }

    pub(crate) mod deeper {
        #[anyfork::call]
        pub(in super::super) fn of_a_path() {}
    }
}

fn in_a_function() -> anyfork::Result<u8> {
    #[anyfork::call(name = "local")]
    fn public(local: Local) -> u8 {
        local.0
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Local(u8);

    assert_eq!(public::NAME, "local");
    public::call(Process::new()?, Local(7)).blocking()
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    let new = Process::new;
    assert_eq!(public::call(new()?, "four".into()).blocking()?, 4);
    assert_eq!(of_the_crate::call(new()?, Own(1)).blocking()?, Own(1));
    let all = names::call(new()?, 1, 2, 3, 4, 5, 6, 7).blocking()?;
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 7]);
    let all = patterns::call(new()?, (1, 2), 0, 2, [4]).blocking()?;
    assert_eq!(all, [1, 2, 3, 4]);
    assert_eq!(from_a_macro::call(new()?, 8).blocking()?, 8);
    assert_eq!((from_a_macro::NAME, from_a_macro(8)), ("macro", 8));
    #[allow(deprecated)]
    old::call(new()?).blocking()?;
    #[allow(deprecated)]
    old();
    let sum = asynchronous::call(new()?, 1, 0, 0, 0, 0, 0, 0, 2).blocking()?;
    assert_eq!(sum, 3);
    assert_eq!(inner::r#type::call(new()?, 9).blocking()?, 9);
    assert!(inner::r#type::NAME.ends_with("::inner::type"));
    inner::deeper::of_a_path::call(new()?).blocking()?;
    inner::deeper::of_a_path();
    assert_eq!(in_a_function()?, 7);
    // The user's functions are functions still.
    assert_eq!((public("x".into()), inner::r#type(3)), (1, 3));
    Result::Ok(())
}
