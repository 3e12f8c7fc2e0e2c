//! Where caller and workers run (sched_setaffinity(2)).

use std::fs;
use std::io;
use std::mem;

use crate::system::{Result, System};

/// CPUs for the caller and for its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// All on the same.
    OneCpu,
    /// The caller on one, and the workers on another.
    Across,
    /// As the kernel likes.
    Anywhere,
}

impl Placement {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Placement::OneCpu => "one CPU",
            Placement::Across => "across CPUs",
            Placement::Anywhere => "anywhere",
        }
    }
}

/// The CPUs of this process, as it was started.
pub(crate) struct Cpus(Vec<usize>);

impl Cpus {
    pub(crate) fn of_this_process() -> Result<Cpus> {
        // SAFETY: all bytes zero are an empty set.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        // SAFETY: the kernel writes at most the size that it is given.
        let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
        if result != 0 {
            return Err(io::Error::last_os_error().into());
        }
        // SAFETY: all numbers are below the size of the set.
        let has = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
        Ok(Cpus((0..libc::CPU_SETSIZE as usize).filter(has).collect()))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The placements that are possible here.
    pub(crate) fn placements(&self) -> Vec<Placement> {
        use Placement::{Across, Anywhere, OneCpu};
        if self.count() > 1 {
            return vec![OneCpu, Across, Anywhere];
        }
        println!("across CPUs: skipped, there is one CPU");
        vec![OneCpu]
    }

    /// Moves all threads of a system's processes.
    pub(crate) fn place(&self, system: &mut dyn System, placement: Placement) -> Result<()> {
        let all = &self.0[..];
        let (caller, worker) = match placement {
            Placement::OneCpu => (&all[..1], &all[..1]),
            Placement::Across => (&all[..1], &all[1..2]),
            Placement::Anywhere => (all, all),
        };
        let processes = system.processes()?;
        restrict(processes.caller, caller)?;
        for pid in processes.workers {
            restrict(pid, worker)?;
        }
        Ok(())
    }
}

/// Restricts all threads of a process to those CPUs.
fn restrict(pid: u32, cpus: &[usize]) -> Result<()> {
    // SAFETY: all bytes zero are an empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &cpu in cpus {
        // SAFETY: the number is one that the kernel has given for such a set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.file_name().to_string_lossy().parse()?;
        // SAFETY: the kernel reads at most the size that it is given.
        let result = unsafe { libc::sched_setaffinity(thread, size_of_val(&set), &set) };
        let error = io::Error::last_os_error();
        // The thread may be over.
        if result != 0 && error.raw_os_error() != Some(libc::ESRCH) {
            return Err(error.into());
        }
    }
    Ok(())
}
