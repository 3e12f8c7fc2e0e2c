//! Reading two pipes to their ends at the same time.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Reads both to their ends, whichever has something (poll(2)).
pub(crate) fn read_both(pipes: [Option<OwnedFd>; 2]) -> io::Result<[Vec<u8>; 2]> {
    let mut pipes = pipes.map(|pipe| pipe.map(File::from));
    let mut all = [Vec::new(), Vec::new()];
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let open = |pipe: &Option<File>| pipe.is_some();
        if let [true, false] | [false, true] = [open(&pipes[0]), open(&pipes[1])] {
            for (pipe, all) in pipes.iter_mut().zip(&mut all) {
                if let Some(mut pipe) = pipe.take() {
                    pipe.read_to_end(all)?;
                }
            }
        }
        let [Some(one), Some(other)] = &pipes else {
            return Ok(all);
        };
        let wanted = |file| PollFd::new(file, PollFlags::POLLIN);
        let mut fds = [wanted(one.as_fd()), wanted(other.as_fd())];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result?,
        };
        let ready = fds.map(|fd| fd.any().unwrap_or(true));
        for ((pipe, all), _) in pipes.iter_mut().zip(&mut all).zip(ready).filter(|it| it.1) {
            let Some(file) = pipe else { continue };
            match file.read(&mut buffer)? {
                0 => *pipe = None,
                n => all.extend_from_slice(&buffer[..n]),
            }
        }
    }
}
