//! A child that shares its template's memory until it executes a program (clone(2)).
//! RUNS IN: template
//!
//! `CLONE_VM` copies no page table, which is most of what a fork costs. The template does
//! not wait for the exec, as it would with `CLONE_VFORK`: a program on a file system that
//! hangs would hold it up, with all requests behind. So all that the child needs is laid out
//! in a [`Region`] of its own, which stays as it is until the kernel clears a word in it
//! (`CLONE_CHILD_CLEARTID`): at the exec, or at the exit.
//!
//! The child [runs](run) a [`script`]: system calls, and nothing of the C library. The template has
//! blocked all signals, so none is handled in the child.

pub(crate) mod region;
mod run;
pub(crate) mod script;
pub(crate) mod task;

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;

use crate::sys::raw_call;
use crate::sys::vm_child::region::Region;
use crate::sys::vm_child::script::Script;
use crate::sys::vm_child::task::Task;

/// Whether there can be such children on this processor.
pub(crate) const AVAILABLE: bool = raw_call::AVAILABLE;

/// A child that may still use its region.
pub(crate) struct VmChild {
    pub(crate) pid: u32,
    region: Region,
}

impl VmChild {
    /// Makes the child, which runs the script (clone(2)).
    pub(crate) fn start(script: Script) -> io::Result<VmChild> {
        extern "C" fn main(task: *mut c_void) -> c_int {
            // SAFETY: `finish` has laid the task out in the region, which stays.
            let task = unsafe { &*task.cast::<Task>() };
            // SAFETY: this is the child that the task is for, on a stack of its own.
            unsafe { run::run(task) }
        }
        let (region, task) = script.finish()?;
        region.set_busy();
        let (none, word) = (ptr::null_mut::<c_void>(), region.word());
        let flags = libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD;
        // SAFETY: the stack is the child's alone, as the region is busy. `main` reads only
        // the region and what never changes, and never returns.
        let pid = unsafe {
            libc::clone(
                main,
                region.stack_top(),
                flags,
                task.cast_mut().cast(),
                none,
                none,
                word,
            )
        };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            pid => Ok(VmChild {
                pid: pid.cast_unsigned(),
                region,
            }),
        }
    }

    /// Whether the child has executed its program, or has exited.
    pub(crate) fn is_done(&self) -> bool {
        !self.region.is_busy()
    }

    /// The region of a child that is [done](VmChild::is_done), to be used again.
    pub(crate) fn into_region(self) -> Region {
        self.region
    }
}
