//! The crate procspawn, which executes the program again for each function:
//! from the call to the function's result.

use std::env;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use procspawn::JoinHandle;

use crate::system::{Result, System, time};

#[derive(Default)]
pub(crate) struct Functions {
    held: Vec<(UnixStream, JoinHandle<()>)>,
}

/// Says that it is there, and sleeps until its caller closes the socket. Its
/// caller notices if that does not work.
fn idle(path: PathBuf) {
    if let Ok(mut socket) = UnixStream::connect(path) {
        let _ = socket.write_all(b".");
        let _ = socket.read(&mut [0]);
    }
}

/// What the caller and the functions talk over.
fn listener() -> PathBuf {
    env::temp_dir().join(format!("anyfork-starts-{}", process::id()))
}

impl System for Functions {
    fn name(&self) -> &'static str {
        "procspawn"
    }

    fn block(&mut self, starts: usize) -> Result<Vec<Duration>> {
        time(starts, || Ok(procspawn::spawn((), |()| ()).join()?))
    }

    fn hold(&mut self, count: usize) -> Result<Option<Vec<u32>>> {
        let path = listener();
        let accept = UnixListener::bind(&path)?;
        for _ in 0..count {
            let handle = procspawn::spawn(path.clone(), idle);
            let (mut socket, _) = accept.accept()?;
            socket.read_exact(&mut [0])?;
            self.held.push((socket, handle));
        }
        std::fs::remove_file(path)?;
        Ok(self.held.iter().map(|(_, handle)| handle.pid()).collect())
    }

    fn release(&mut self) -> Result<()> {
        for (socket, handle) in self.held.drain(..) {
            drop(socket);
            handle.join()?;
        }
        Ok(())
    }
}
