//! What coverage and leak detection need of processes that leave by `_exit`.
//! RUNS IN: any
//!
//! The tools are LLVM's profile runtime (`-C instrument-coverage`, `-C profile-generate`)
//! and its sanitizers.
//! Their functions are there only in a program that was built for them. So they are weak
//! symbols here, whose addresses are null otherwise. Rust has no weak symbols, the
//! assembler has.

use std::arch::global_asm;
use std::env;
use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The functions of the tools, as far as the program has them.
#[repr(C)]
struct Tools {
    /// Writes the counters into the file (`InstrProfiling.h` of LLVM).
    write_profile: Option<unsafe extern "C" fn() -> c_int>,
    /// Sets the counters to zero.
    reset_counters: Option<unsafe extern "C" fn()>,
    /// Sets the name of the file, of which it expands `%p` and others at once.
    set_file_name: Option<unsafe extern "C" fn(*const c_char)>,
    /// The name with all expanded; empty before there is one.
    file_name: Option<unsafe extern "C" fn() -> *const c_char>,
    /// Whether the counters are the file itself, mapped.
    is_continuous: Option<unsafe extern "C" fn() -> c_int>,
    /// Reports leaks, and exits if there are any (`lsan_interface.h`).
    look_for_leaks: Option<unsafe extern "C" fn()>,
}

/// What has the assembler write an address.
#[cfg(target_pointer_width = "64")]
macro_rules! word {
    () => {
        ".8byte"
    };
}
#[cfg(not(target_pointer_width = "64"))]
macro_rules! word {
    () => {
        ".4byte"
    };
}

// Hidden, so that no other object of the process has a part in it; and weak, because a
// program may have this crate twice. The profile runtime belongs to one object, too.
global_asm!(
    ".pushsection .data.rel.ro.anyfork_0_1_0_tools,\"aw\"",
    ".balign 8",
    ".weak anyfork_0_1_0_tools",
    ".hidden anyfork_0_1_0_tools",
    "anyfork_0_1_0_tools:",
    ".irp name, __llvm_profile_write_file, __llvm_profile_reset_counters, \
        __llvm_profile_set_filename, __llvm_profile_get_filename, \
        __llvm_profile_is_continuous_mode_enabled",
    ".weak \\name",
    ".hidden \\name",
    concat!(word!(), " \\name"),
    ".endr",
    ".weak __lsan_do_leak_check",
    concat!(word!(), " __lsan_do_leak_check"),
    ".popsection",
);

unsafe extern "C" {
    #[link_name = "anyfork_0_1_0_tools"]
    static TOOLS: Tools;
}

#[inline(never)]
fn tools() -> &'static Tools {
    // SAFETY: the assembler's table above has these six addresses, and nobody writes to it
    // once the program is relocated.
    unsafe { &TOOLS }
}

/// What a program that counts was started with.
struct Start {
    /// The name of the file of counters, which may have a `%p` in it.
    name: Option<CString>,
    /// Relative names are relative to it: a template works in another one.
    directory: PathBuf,
}

static START: OnceLock<Start> = OnceLock::new();

/// The process whose pid the present name may have in it.
static NAMED_FOR: AtomicU32 = AtomicU32::new(0);

/// Notes where a program that counts writes to.
pub(crate) fn note_program() {
    if tools().set_file_name.is_none() {
        return;
    }
    NAMED_FOR.store(process::id(), Ordering::Relaxed);
    let directory = env::current_dir().unwrap_or_default();
    let given = env::var_os("LLVM_PROFILE_FILE").filter(|name| !name.is_empty());
    let name = given.and_then(|name| absolute(&directory, name.as_bytes()));
    let _ = START.set(Start { name, directory });
}

fn absolute(directory: &Path, name: &[u8]) -> Option<CString> {
    let path = directory.join(OsStr::from_bytes(name));
    CString::new(path.into_os_string().into_vec()).ok()
}

/// Begins the work of tools in a process that was just forked: it counts its own code
/// only, into a file of its own.
pub(crate) fn begin() {
    let Tools {
        reset_counters: Some(reset_counters),
        set_file_name: Some(set_file_name),
        is_continuous: Some(is_continuous),
        ..
    } = *tools()
    else {
        return;
    };
    // SAFETY: takes nothing, and only reads.
    if unsafe { is_continuous() } != 0 {
        // The counters are those of all processes.
        return;
    }
    // SAFETY: writes to the counters, which another thread may count on meanwhile.
    unsafe { reset_counters() };
    let pid = process::id();
    let before = NAMED_FOR.swap(pid, Ordering::Relaxed).to_string();
    let Some(start) = START.get() else { return };
    let names = match &start.name {
        // Set twice, the same name would keep the pid of the process before.
        Some(given) => vec![c"/dev/null".to_owned(), given.clone()],
        None => match file_name().to_str() {
            Ok(name) if name.contains(&before) => {
                let name = name.replace(&before, &pid.to_string());
                absolute(&start.directory, name.as_bytes())
                    .into_iter()
                    .collect()
            }
            // It is shared, or there is none yet.
            _ => Vec::new(),
        },
    };
    for name in names {
        // SAFETY: copies a C string.
        unsafe { set_file_name(name.as_ptr()) };
    }
}

/// The present name of the file of counters. Empty if there is none.
fn file_name() -> &'static CStr {
    let name = tools().file_name.map_or(ptr::null(), |file_name| {
        // SAFETY: takes nothing.
        unsafe { file_name() }
    });
    match name.is_null() {
        true => c"",
        // SAFETY: it is a C string that nobody frees.
        false => unsafe { CStr::from_ptr(name) },
    }
}

/// Whether this program has any tool, which takes its time at an exit.
#[cfg(feature = "pool")]
pub(crate) fn are_there() -> bool {
    tools().write_profile.is_some() || tools().look_for_leaks.is_some()
}

/// Writes what this process has counted.
pub(crate) fn write_profile() {
    let Tools {
        write_profile: Some(write),
        set_file_name: Some(set_file_name),
        ..
    } = *tools()
    else {
        return;
    };
    let present = file_name().to_bytes();
    let (own, name) = (process::id().to_string(), String::from_utf8_lossy(present));
    let name = match &*name {
        // The constructor that sets it has not run here. The compiler's own default:
        "" => Some(&b"default_%m_%p.profraw"[..]),
        // One without a pid is shared, and the counters are added to what is there.
        name => (!name.starts_with('/') && name.contains(&own)).then_some(present),
    };
    let directory = START.get().map(|start| &*start.directory);
    let name = directory.and_then(|directory| absolute(directory, name?));
    if let Some(name) = name {
        // SAFETY: copies a C string.
        unsafe { set_file_name(name.as_ptr()) };
    }
    // SAFETY: takes nothing; it locks the file.
    unsafe { write() };
}

/// Has a sanitizer report what this process has leaked. Exits with its exit code if there
/// is anything.
pub(crate) fn look_for_leaks() {
    if let Some(look) = tools().look_for_leaks {
        // SAFETY: takes nothing; it stops all threads meanwhile.
        unsafe { look() };
    }
}
