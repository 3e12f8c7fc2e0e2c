//! The program's constructors: ours among them, and those that come after it.
//! RUNS IN: program before main, template
//!
//! The C library calls the elements of `.init_array` one after the other before
//! `main`: those with a priority first, then the others in the order of linking,
//! where the crates `ctor` and `inventory`, global objects of C++ and LLVM's profile
//! runtime have theirs. A template is forked in the middle of that list and never
//! returns to it, so it runs the rest itself.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

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
    /// Finds the list of the first object, which is the program.
    unsafe extern "C" fn visit(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        found: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes a valid object for the time of the call.
        let info = unsafe { &*info };
        // SAFETY: `all` passes the address of its local.
        let found = unsafe { &mut *found.cast::<List>() };
        let headers = match info.dlpi_phnum {
            0 => &[],
            // SAFETY: the object says that it has so many program headers.
            n => unsafe { slice::from_raw_parts(info.dlpi_phdr, n.into()) },
        };
        let dynamic = headers.iter().find(|it| it.p_type == libc::PT_DYNAMIC);
        if let Some(header) = dynamic {
            let base = info.dlpi_addr as usize;
            let section = base.wrapping_add(header.p_vaddr as usize) as *const Dynamic;
            // SAFETY: the section is loaded there, and ends with a null tag.
            *found = unsafe { List::of(section, base) };
        }
        // Any other value than 0 ends the iteration.
        1
    }
    let mut found = List::default();
    // SAFETY: `visit` reads what it is given and writes to the local.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast()) };
    if found.start == 0 || found.bytes == 0 {
        return &[];
    }
    let count = found.bytes / size_of::<Option<Constructor>>();
    // SAFETY: the program says that its list is there, and nobody writes to it once
    // the program is relocated.
    unsafe { slice::from_raw_parts(found.start as *const Option<Constructor>, count) }
}

/// Where the list is, and how long.
#[derive(Default)]
struct List {
    start: usize,
    bytes: usize,
}

/// An entry of a dynamic section: `Elf64_Dyn` of elf(5), or `Elf32_Dyn`.
#[repr(C)]
struct Dynamic {
    tag: isize,
    value: usize,
}

impl List {
    /// # Safety
    ///
    /// A dynamic section is at `entry`, of an object that is loaded at `base`.
    unsafe fn of(mut entry: *const Dynamic, base: usize) -> List {
        const DT_NULL: isize = 0;
        const DT_INIT_ARRAY: isize = 25;
        const DT_INIT_ARRAYSZ: isize = 27;
        let mut list = List::default();
        loop {
            // SAFETY: the last entry has a null tag, and was not passed.
            let Dynamic { tag, value } = *unsafe { &*entry };
            match tag {
                DT_NULL => return list,
                DT_INIT_ARRAY => list.start = base.wrapping_add(value),
                DT_INIT_ARRAYSZ => list.bytes = value,
                _ => {}
            }
            // SAFETY: there is a further entry.
            entry = unsafe { entry.add(1) };
        }
    }
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
