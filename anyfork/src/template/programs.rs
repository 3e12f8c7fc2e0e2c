//! [`Programs`]: starts external programs that need no copy of the template.
//! RUNS IN: template
//!
//! Such a child shares the template's memory until it executes its program
//! ([`vm_child`]): the template lays out before what the child does,
//! in the order of [`child::role`](crate::child::role), and with the same errors. What runs
//! code of the program's (init functions, plugins, `after_fork` functions), changes the user
//! or the groups, sets the OOM score or joins a cgroup is left to a fork; so is what is malformed.
//!
//! The template does not wait for the exec: one that hangs holds nobody up. Nothing of a
//! request gets into the template's heap, of which later children have a copy.

mod image;
mod layout;
mod prepared;

use std::io;
use std::os::fd::AsFd;

use crate::child::prepare;
use crate::child::request::Request;
use crate::child::role::Inherited;
use crate::protocol::direct::DirectProgram;
use crate::protocol::request::Role;
use crate::sys::memfd;
use crate::sys::vm_child::region::Region;
use crate::sys::vm_child::{self, VmChild};
use crate::template::programs::layout::Layout;
use crate::template::programs::prepared::{Prepared, wipe};

/// Maximum number of bytes of a request's body. The child of a fork reads a longer one, as
/// the kernel refuses its arguments anyway.
const MAX_BODY: u64 = 8 << 20;

/// Number of bytes of a region that is kept for the next program, and its share for each
/// byte of a body: a variable takes a pointer, too.
const ROOM: usize = 128 << 10;
const ROOM_A_BYTE: usize = 10;

/// Maximum number of regions that are kept.
const MAX_KEPT: usize = 2;

/// The programs that a template has started and that may still use its memory.
#[derive(Default)]
pub(crate) struct Programs {
    under_way: Vec<VmChild>,
    kept: Vec<Region>,
    /// `None` before the first program.
    template: Option<Prepared>,
}

impl Programs {
    /// Starts the program that is asked for, and gives its pid. `None`: the request is of
    /// another kind, or is left to a fork.
    pub(crate) fn start(
        &mut self,
        request: &Request<'_>,
        inherited: &Inherited<'_>,
    ) -> Option<io::Result<u32>> {
        let head = &request.head;
        let is_direct = vm_child::AVAILABLE
            && head.role == Role::Program
            && head.trailing_fds == 0
            && head.body_len <= MAX_BODY
            && !prepare::has_hooks();
        if !is_direct {
            return None;
        }
        let Some(memory) = &request.memory else {
            return self.start_from(request.body, request, inherited);
        };
        let mut body = memfd::load(memory.as_fd(), head.body_len).ok()?;
        let started = self.start_from(&body, request, inherited);
        wipe(&mut body);
        started
    }

    fn start_from(
        &mut self,
        body: &[u8],
        request: &Request<'_>,
        inherited: &Inherited<'_>,
    ) -> Option<io::Result<u32>> {
        let program = DirectProgram::parse(body, request.inline_fds.len())?;
        let region = self.region(body.len()).ok()?;
        let template = self.template.get_or_insert_with(Prepared::now);
        let layout = Layout {
            program: &program,
            request,
            inherited,
            template,
            held: Vec::new(),
        };
        // What it holds is closed when the child has it.
        let (script, held) = layout.lay_out(region)?;
        let started = VmChild::start(script);
        drop(held);
        Some(started.map(|child| {
            let pid = child.pid;
            self.under_way.push(child);
            pid
        }))
    }

    /// A region for a body of that length.
    fn region(&mut self, body: usize) -> io::Result<Region> {
        self.sweep();
        let capacity = ROOM + ROOM_A_BYTE * body;
        let fits = |region: &Region| region.capacity() >= capacity;
        match self.kept.iter().position(fits) {
            Some(at) => Ok(self.kept.swap_remove(at)),
            None => Region::new(capacity.max(KEPT)),
        }
    }

    /// Takes back the regions of children that are done.
    pub(crate) fn sweep(&mut self) {
        for at in (0..self.under_way.len()).rev() {
            if self.under_way[at].is_done() {
                let region = self.under_way.swap_remove(at).into_region();
                if region.capacity() == KEPT && self.kept.len() < MAX_KEPT {
                    self.kept.push(region);
                }
            }
        }
    }
}

/// Number of bytes of a region that is kept: enough for most bodies.
const KEPT: usize = ROOM + ROOM_A_BYTE * (16 << 10);
