//! The monitor: a process that holds the descriptors of a template's children.
//! RUNS IN: monitor
//!
//! The template's own table of descriptors stays small that way.
//!
//! The template forks a monitor, which inherits the pidfds and status pipes of the
//! children that are delegated to it. The monitor kills an abandoned child, if
//! it is to be killed on drop, and returns a child that has exited to the template: a
//! monitor is the child's sibling and cannot reap it. It runs no code of the program's,
//! receives no messages, and does not outlive the template. The template's part is in
//! [`delegated`](crate::template::children::delegated).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::child::title;
use crate::early;
use crate::protocol::notice::Returned;
use crate::sys::epoll::Epoll;
use crate::sys::threads::OneThread;
use crate::sys::{deliver, epoll, fd, fork};
use crate::template::children::watched::Watched;
use crate::template::token::Token;

/// Number by which a monitor divides its children: when fewer than this part of them
/// run, it returns them all and exits.
pub(crate) const RETURN_DIVISOR: usize = 4;

/// Number of pauses, over a monitor's whole life, in which it waits for the kernel to
/// take a descriptor.
const MAX_PAUSES: u32 = 100;

/// Monitors these children, in a process that `template` has just forked, and exits.
pub(crate) fn run(
    one_thread: OneThread,
    children: Vec<Watched>,
    socket: OwnedFd,
    template: u32,
) -> ! {
    early::mark_forked();
    let mut monitor = Monitor {
        children: children.into_iter().map(|it| (it.pid, it)).collect(),
        socket,
        pauses_left: MAX_PAUSES,
    };
    let monitored = monitor.isolate(one_thread).and_then(|()| {
        fork::die_with_parent(template)?;
        title::monitor(one_thread);
        monitor.watch_children()
    });
    // After a failure, too. If the template is gone, the sending fails.
    monitor.return_all();
    fork::exit_now(monitored.is_err().into())
}

struct Monitor {
    children: BTreeMap<u32, Watched>,
    /// The socket to the template.
    socket: OwnedFd,
    pauses_left: u32,
}

impl Monitor {
    /// Closes every descriptor that is neither the monitor's nor a child's.
    fn isolate(&self, one_thread: OneThread) -> io::Result<()> {
        let held = self.children.values().flat_map(Watched::descriptors);
        fd::close_all_but(
            one_thread,
            held.chain([&self.socket]).map(AsRawFd::as_raw_fd),
        )
    }

    /// Watches the children until few are left.
    fn watch_children(&mut self) -> io::Result<()> {
        let events = Epoll::new()?;
        events.add(&self.socket, Token::Control.encode())?;
        for child in self.children.values_mut() {
            child.watch(&events)?;
        }
        let few = self.children.len() / RETURN_DIVISOR;
        let mut buffer = epoll::event_buffer::<64>();
        while self.children.len() >= few.max(1) {
            let ready = events.wait(&mut buffer, None)?;
            for token in ready.filter_map(Token::decode) {
                self.on_event(token, &events);
            }
        }
        Ok(())
    }

    fn on_event(&mut self, token: Token, events: &Epoll) {
        match token {
            // A hang-up, because the template never sends anything: it is gone, or wants
            // all children back.
            Token::Control => {
                self.return_all();
                fork::exit_now(0)
            }
            Token::Exited(pid) => {
                if let Some(child) = self.children.remove(&pid) {
                    child.unwatch(events);
                    self.return_child(child);
                }
            }
            Token::Abandoned(pid) => {
                if let Some(child) = self.children.get_mut(&pid) {
                    child.kill(events);
                }
            }
            // The template's alone.
            Token::Notices | Token::Monitor(_) => {}
        }
    }

    fn return_all(&mut self) {
        while let Some((_, child)) = self.children.pop_first() {
            self.return_child(child);
        }
    }

    /// Returns the child to the template, which watches or reaps it.
    fn return_child(&mut self, child: Watched) {
        let bytes = Returned {
            pid: child.pid,
            kill_on_drop: child.kill_on_drop,
        }
        .encode();
        // If the limit of descriptors in flight lasts, the template has to learn of the
        // exit without the pipe.
        let sent = deliver::send_with_or_without(
            self.socket.as_fd(),
            &bytes,
            child.status.as_ref().map(AsFd::as_fd),
            &mut self.pauses_left,
        );
        if sent.is_err() {
            // The template is gone.
            fork::exit_now(1);
        }
    }
}
