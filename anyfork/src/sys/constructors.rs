//! The program's constructors: ours among them, and those that come after it.
//! RUNS IN: program before main, template
//!
//! The C library calls the elements of `.init_array` one after the other before
//! `main`: those with a priority first, then the others in the order of linking,
//! where the crates `ctor` and `inventory`, global objects of C++ and LLVM's profile
//! runtime have theirs. A template is forked in the middle of that list and never
//! returns to it, so it runs the rest itself.

use std::ffi::{c_char, c_int};
use std::ops::ControlFlow;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use crate::sys::objects;

/// An element of `.init_array`. glibc calls it with the arguments of `main`; other
/// C libraries call it with none.
pub(crate) type Constructor = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

/// Runs `$function` before `main`.
///
/// The priority comes after std has its arguments (99) and before the
/// constructors of the program that ask for none, so that few of them have opened
/// descriptors or started threads.
macro_rules! before_main {
    ($function:path) => {
        #[allow(unsafe_code)]
        const _: () = {
            #[used]
            #[unsafe(link_section = ".init_array.00100")]
            static CONSTRUCTOR: $crate::sys::constructors::Constructor = constructor;

            extern "C" fn constructor(
                argc: ::std::ffi::c_int,
                argv: *const *const ::std::ffi::c_char,
                envp: *const *const ::std::ffi::c_char,
            ) {
                $crate::sys::constructors::note(constructor, argc, argv, envp);
                $function();
            }
        };
    };
}
pub(crate) use before_main;

static OURS: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static ARGC: AtomicI32 = AtomicI32::new(0);
static ARGV: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());
static ENVP: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());

/// Notes where in the list this process is, and what the others are called with.
pub(crate) fn note(
    ours: Constructor,
    argc: c_int,
    argv: *const *const c_char,
    envp: *const *const c_char,
) {
    OURS.store(ours as *mut (), Ordering::Relaxed);
    if cfg!(target_env = "gnu") {
        ARGC.store(argc, Ordering::Relaxed);
        ARGV.store(argv.cast_mut(), Ordering::Relaxed);
        ENVP.store(envp.cast_mut(), Ordering::Relaxed);
    }
}

/// Runs the program's constructors that come after ours, in their order.
///
/// For a process that was forked in ours and does not return from it. One that
/// unwinds ends the process, as it would before `main`.
pub(crate) fn run_later() {
    let ours = OURS.load(Ordering::Relaxed);
    let is_ours = |constructor: &Option<Constructor>| {
        constructor.is_some_and(|it| ptr::eq(it as *const (), ours))
    };
    let all = all();
    let Some(at) = all.iter().position(is_ours) else {
        return;
    };
    let (argc, argv) = (ARGC.load(Ordering::Relaxed), ARGV.load(Ordering::Relaxed));
    let envp = ENVP.load(Ordering::Relaxed);
    for constructor in all[at + 1..].iter().flatten() {
        constructor(argc, argv, envp);
    }
}

/// The program's own list, as its dynamic section tells (`DT_INIT_ARRAY`, elf(5)).
/// Empty in a program that is linked statically to fixed addresses, which has no
/// such section.
fn all() -> &'static [Option<Constructor>] {
    const DT_INIT_ARRAY: isize = 25;
    const DT_INIT_ARRAYSZ: isize = 27;
    let (mut start, mut bytes) = (0, 0);
    objects::visit(&mut |program| {
        for (tag, value) in program.dynamic() {
            match tag {
                DT_INIT_ARRAY => start = program.base.wrapping_add(value),
                DT_INIT_ARRAYSZ => bytes = value,
                _ => {}
            }
        }
        ControlFlow::Break(())
    });
    if start == 0 || bytes == 0 {
        return &[];
    }
    let count = bytes / size_of::<Option<Constructor>>();
    // SAFETY: the program says that its list is there, and nobody writes to it once
    // the program is relocated.
    unsafe { slice::from_raw_parts(start as *const Option<Constructor>, count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_in_the_list_of_the_program() {
        let ours = OURS.load(Ordering::Relaxed);
        let all = all().iter().flatten();
        let found = all.filter(|it| ptr::eq(**it as *const (), ours)).count();
        assert!(!ours.is_null() && found == 1, "{found}");
    }
}
