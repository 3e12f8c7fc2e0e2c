//! Lays out what a program is executed with: paths, arguments, environment.
//! RUNS IN: template
//!
//! `None` on the way: the program is left to a fork, whose child reports what is wrong
//! with it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::args::value::Arg;
use crate::child::environment::Variables;
use crate::child::role::Inherited;
use crate::protocol::direct::{DirectArg, DirectProgram, DirectVariables};
use crate::sys::exec;
use crate::sys::vm_child::script::Script;
use crate::template::programs::prepared::{Prepared, wipe};

/// Lays out the arguments: first those that the template passes on and that the process has
/// collected.
pub(super) fn lay_out_args(
    script: &mut Script,
    program: &DirectProgram<'_>,
    inherited: &Inherited<'_>,
) -> Option<()> {
    let passed_on = inherited.args.iter().filter_map(|arg| match arg {
        Arg::Bytes(bytes) => Some(&bytes[..]),
        Arg::Fd(_) => None,
    });
    let collected = program.collected.iter().filter_map(|arg| match arg {
        DirectArg::Bytes(bytes) => Some(*bytes),
        DirectArg::Fd(_) => None,
    });
    let all = [program.arg0].into_iter().chain(passed_on);
    for arg in all.chain(collected).chain(program.args.iter().copied()) {
        if arg.contains(&0) {
            return None;
        }
        script.arg(arg).ok()?;
    }
    Some(())
}

/// Lays out the environment, and the paths to try, which depend on it.
pub(super) fn lay_out_environment(
    script: &mut Script,
    program: &DirectProgram<'_>,
    template: &Prepared,
) -> Option<()> {
    let laid_out = match program.variables[..] {
        // As the caller has put it together: nothing is to be looked up.
        [DirectVariables::Inherit { texts, prepared }]
            if !prepared || template.changed.is_empty() =>
        {
            with_texts(script, program, texts)
        }
        _ => {
            let mut texts = changed(program, template)?;
            let laid_out = with_texts(script, program, &texts);
            wipe(&mut texts);
            laid_out
        }
    };
    laid_out.ok()
}

fn changed(program: &DirectProgram<'_>, template: &Prepared) -> Option<Vec<u8>> {
    // Nothing of the template's own is needed.
    let [DirectVariables::Inherit { .. }, ..] = program.variables[..] else {
        return None;
    };
    let mut variables = Variables::of_process(&[], &template.changed);
    for change in &program.variables {
        let made = match change {
            DirectVariables::Clear => variables.clear(),
            DirectVariables::Inherit { texts, prepared } => variables.inherit(texts, *prepared),
            DirectVariables::Set(name, value) => {
                variables.change(OsStr::from_bytes(name), value.map(OsStr::from_bytes))
            }
        };
        made.ok()?;
    }
    Some(variables.texts().into_bytes())
}

fn with_texts(script: &mut Script, program: &DirectProgram<'_>, texts: &[u8]) -> io::Result<()> {
    script.environment(texts)?;
    let mut paths = texts
        .split(|byte| *byte == 0)
        .filter_map(|text| text.strip_prefix(b"PATH="));
    let path = paths.next().map(|path| OsStr::from_bytes(path).to_owned());
    let program = OsStr::from_bytes(program.path);
    let candidates = exec::candidates(program, path)?;
    candidates.iter().try_for_each(|path| script.path(path))
}
