//! What a process takes of the memory: idle ones' share of it (PSS), and what a
//! template has for itself. `/proc/PID/smaps_rollup`, proc_pid_smaps(5).

use std::fs;

use anyfork::Process;

use crate::report::Report;
use crate::system::{Result, System, slug};

/// Of one system at a time. They share what they have in common among them.
const IDLE: usize = 20;

pub(crate) fn measure(
    report: &mut Report,
    systems: &mut [Box<dyn System>],
    template: &Process,
) -> Result<()> {
    report.heading(&format!("memory of an idle process, one of {IDLE}"));
    for system in systems {
        let Some(pids) = system.hold(IDLE)? else {
            continue;
        };
        let mut sum = 0.0;
        for pid in &pids {
            sum += kib(*pid, &["Pss:"])?;
        }
        system.release()?;
        let name = format!("{}_idle_pss", slug(system.name()));
        report.figure(&name, sum / pids.len() as f64, "KiB");
    }
    let own = ["Private_Clean:", "Private_Dirty:"];
    let pid = template.pid().ok_or("the template has no pid")?;
    report.figure("anyfork_template_private", kib(pid, &own)?, "KiB");
    Ok(())
}

/// The sum of some of the process's figures.
fn kib(pid: u32, keys: &[&str]) -> Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let mut sum = 0.0;
    for key in keys {
        let value = rollup.lines().find_map(|line| line.strip_prefix(key));
        let value = value.ok_or("the kernel does not tell")?;
        sum += value.trim().trim_end_matches(" kB").parse::<f64>()?;
    }
    Ok(sum)
}
