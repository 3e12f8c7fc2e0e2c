//! Waiting for many descriptors at once (epoll(7)).
//! RUNS IN: any

use std::io;
#[cfg(feature = "pool")]
use std::os::fd::BorrowedFd;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{self, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::sys::fd::above_standard;
#[cfg(feature = "pool")]
use crate::sys::poll::Interest;

/// A set of descriptors to wait for, each with a token (epoll(7)).
pub(crate) struct Epoll(epoll::Epoll);

impl Epoll {
    /// An empty set (epoll_create1(2)).
    pub(crate) fn new() -> io::Result<Epoll> {
        let epoll::Epoll(fd) = epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Epoll(epoll::Epoll(above_standard(fd)?)))
    }

    /// Reports `token` while the descriptor is readable or hung up (epoll_ctl(2)).
    pub(crate) fn add(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
        Ok(self.0.add(fd, event)?)
    }

    /// Reports `token` once, and again at each further event (`EPOLLET`, epoll_ctl(2)).
    pub(crate) fn add_edge(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, token);
        Ok(self.0.add(fd, event)?)
    }

    /// Reports `token` while the descriptor is hung up (epoll_ctl(2)).
    pub(crate) fn add_hung_up(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::empty(), token);
        Ok(self.0.add(fd, event)?)
    }

    /// A set of these descriptors, which may name one twice (epoll_ctl(2)).
    #[cfg(feature = "pool")]
    pub(crate) fn of(fds: &[(BorrowedFd<'_>, Interest)]) -> io::Result<Epoll> {
        let set = Epoll::new()?;
        for (index, (fd, _)) in fds.iter().enumerate() {
            let same = |other: &&(BorrowedFd<'_>, Interest)| other.0.as_raw_fd() == fd.as_raw_fd();
            if fds[..index].iter().any(|other| same(&other)) {
                continue;
            }
            let flags = fds.iter().filter(same).map(|(_, interest)| match interest {
                Interest::Readable => EpollFlags::EPOLLIN,
                Interest::Writable => EpollFlags::EPOLLOUT,
                Interest::HungUp => EpollFlags::empty(),
            });
            set.0.add(fd, EpollEvent::new(flags.collect(), 0))?;
        }
        Ok(set)
    }

    /// Changes whether `token` is reported while the descriptor is readable. It is
    /// reported while the descriptor is hung up in any case (epoll_ctl(2)).
    pub(crate) fn modify(&self, fd: impl AsFd, token: u64, readable: bool) -> io::Result<()> {
        let flags = match readable {
            true => EpollFlags::EPOLLIN,
            false => EpollFlags::empty(),
        };
        Ok(self.0.modify(fd, &mut EpollEvent::new(flags, token))?)
    }

    /// Takes the descriptor out of the set (epoll_ctl(2)).
    pub(crate) fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(self.0.delete(fd)?)
    }

    /// Waits until a descriptor is ready, at most as long as `timeout`, and returns
    /// the tokens of as many ready descriptors as `buffer` has room for
    /// (epoll_pwait2(2)).
    pub(crate) fn wait<'a>(
        &self,
        buffer: &'a mut [EpollEvent],
        timeout: Option<Duration>,
    ) -> io::Result<impl Iterator<Item = u64> + Clone + use<'a>> {
        let n = loop {
            match self.wait_once(buffer, timeout) {
                Err(Errno::EINTR) => {}
                result => break result?,
            }
        };
        Ok(buffer[..n].iter().map(EpollEvent::data))
    }

    fn wait_once(
        &self,
        buffer: &mut [EpollEvent],
        timeout: Option<Duration>,
    ) -> nix::Result<usize> {
        let Some(timeout) = timeout else {
            return self.0.wait(buffer, EpollTimeout::NONE);
        };
        if timeout.is_zero() {
            return self.0.wait(buffer, EpollTimeout::ZERO);
        }
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs() as libc::time_t,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // SAFETY: there is room for so many events, whose type has the kernel's
        // layout; the signal mask stays.
        let ready = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0.0.as_raw_fd(),
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw const timeout,
                ptr::null::<libc::sigset_t>(),
                0,
            )
        };
        match Errno::result(ready) {
            // Before Linux 5.11: the shortest timeout of epoll_wait(2).
            Err(Errno::ENOSYS) => self.0.wait(buffer, 1u8),
            result => result.map(|ready| ready as usize),
        }
    }
}

/// The set is itself a descriptor, readable while one of its members is ready.
impl From<Epoll> for OwnedFd {
    fn from(set: Epoll) -> OwnedFd {
        set.0.0
    }
}

/// Room for the events of one [`Epoll::wait`].
pub(crate) fn event_buffer<const N: usize>() -> [EpollEvent; N] {
    [EpollEvent::empty(); N]
}
