//! `#[anyfork::early]` goes with the attributes that make a `main`.
#![forbid(unsafe_code)]
#![deny(warnings)]

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};

use anyfork::Process;

static LOADED: AtomicU8 = AtomicU8::new(0);

/// Preloads run in the order of their names, whatever they return.
mod preload {
    use super::{LOADED, Ordering};

    #[anyfork::early]
    pub(super) fn c_result() -> Result<(), String> {
        let c = LOADED.swap(3, Ordering::SeqCst);
        if c == 2 {
            Ok(())
        } else {
            Err(format!("after {c}"))
        }
    }

    #[anyfork::early]
    fn b_code() -> std::process::ExitCode {
        u8::from(LOADED.swap(2, Ordering::SeqCst) != 1).into()
    }

    #[anyfork::early]
    const fn a_constant() {}

    #[anyfork::early]
    fn a_function() {
        LOADED.store(1, Ordering::SeqCst);
    }
}

#[anyfork::worker]
fn loaded(_socket: OwnedFd) -> std::process::ExitCode {
    LOADED.load(Ordering::SeqCst).into()
}

mod other {
    #[tokio::main(flavor = "current_thread")]
    #[anyfork::early]
    pub(super) async fn main() {}
}

#[anyfork::early]
#[tokio::main]
async fn main() -> anyfork::Result<()> {
    let mut worker = loaded::run(Process::new()?).await?;
    assert_eq!(worker.child.wait().await?.code(), Some(3));

    // The functions are functions still: here nothing was loaded.
    assert_eq!(preload::c_result(), Err("after 0".to_owned()));
    tokio::task::spawn_blocking(other::main)
        .await
        .expect("no panic");
    Ok(())
}
