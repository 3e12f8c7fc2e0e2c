//! A last word of a process that runs out of stack, or aborts.
//! RUNS IN: template, child
//!
//! std sets the first up before `main`; these processes never come to `main`.
//!
//! A template installs the handlers once; whatever it forks inherits them and the
//! stack that they run on, and exec resets them. The handlers make system calls
//! and nothing else: no allocation, no lock.

use std::alloc;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Why a handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The first thread has no stack left. The process aborts afterwards.
    StackOverflow,
    /// The process aborts: abort(3).
    Abort,
    /// The process aborts because an allocation has failed.
    OutOfMemory,
}

/// Is called once before the process ends, on a stack of its own. It may make
/// system calls, and must not allocate, lock or unwind.
pub(crate) type LastWord = fn(Crash);

static LAST_WORD: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Number of bytes for the handlers to run on, beside what the processor's
/// registers take.
const STACK: usize = 64 * 1024;

/// Has `last_word` called before this process, or one that it forks, ends by a
/// stack overflow of its first thread or by an abort.
///
/// Signals that somebody handles already, as a sanitizer does, are left alone.
/// What std does for the stacks of further threads, it does not do where it has
/// not started the process: they overflow without a word.
///
/// For processes with one thread.
pub(crate) fn install(last_word: LastWord) -> io::Result<()> {
    LAST_WORD.store(last_word as *mut (), Ordering::Relaxed);
    own_stack()?;
    handle(libc::SIGSEGV, on_fault)?;
    handle(libc::SIGBUS, on_fault)?;
    handle(libc::SIGABRT, on_abort)
}

/// Gives this thread a stack for its signal handlers, with a page below it that
/// faults (sigaltstack(2)). One that has one keeps it.
fn own_stack() -> io::Result<()> {
    // SAFETY: all-zero is a valid description.
    let mut before: libc::stack_t = unsafe { mem::zeroed() };
    // SAFETY: fills a local and sets nothing.
    if unsafe { libc::sigaltstack(ptr::null(), &raw mut before) } == -1 {
        return Err(io::Error::last_os_error());
    }
    if before.ss_flags & libc::SS_DISABLE == 0 {
        return Ok(());
    }
    // SAFETY: both take a number.
    let (page, registers) = unsafe {
        (
            libc::sysconf(libc::_SC_PAGESIZE) as usize,
            libc::getauxval(libc::AT_MINSIGSTKSZ) as usize,
        )
    };
    let size = (STACK + registers).next_multiple_of(page);
    // SAFETY: asks for new memory.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            page + size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the first page of the new memory, which nobody refers to.
    if unsafe { libc::mprotect(start, page, libc::PROT_NONE) } == -1 {
        return Err(io::Error::last_os_error());
    }
    let stack = libc::stack_t {
        // SAFETY: inside the new memory.
        ss_sp: unsafe { start.byte_add(page) },
        ss_flags: 0,
        ss_size: size,
    };
    // SAFETY: the memory is the handlers' from here on, for good.
    match unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// Has the signal handled, if its action is the default one (sigaction(2)).
fn handle(signal: c_int, handler: Handler) -> io::Result<()> {
    // SAFETY: all-zero is a valid action.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: fills a local and sets nothing.
    if unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } == -1 {
        return Err(io::Error::last_os_error());
    }
    if action.sa_sigaction != libc::SIG_DFL {
        return Ok(());
    }
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the handler makes only calls that are allowed in one.
    match unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A fault: of the stack, of anything else, or one that another process has sent.
extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid one.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    // SAFETY: the action runs no code.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: the kernel passes a valid one.
    let stack = unsafe { stack_pointer(context) };
    match stack {
        // Kernel and kill(2) are told apart: who sends the signal sets no address.
        _ if code <= 0 => raise(signal),
        Some(stack) if is_first_thread() && is_beyond(stack, address) => {
            last_word(Crash::StackOverflow);
            // SAFETY: the action runs no code.
            unsafe { libc::signal(libc::SIGABRT, libc::SIG_DFL) };
            // SAFETY: abort has no preconditions.
            unsafe { libc::abort() }
        }
        // The instruction is repeated, and ends the process.
        _ => {}
    }
}

extern "C" fn on_abort(signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the action runs no code.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: the kernel passes a valid one.
    let stack = unsafe { stack_pointer(context) };
    last_word(match stack.is_some_and(comes_from_allocation) {
        true => Crash::OutOfMemory,
        false => Crash::Abort,
    });
    raise(signal);
}

/// Whether the stack of an abort has a return address in the function that std calls
/// when an allocation has failed: stable Rust has no other sign of it.
fn comes_from_allocation(stack: usize) -> bool {
    /// Maximum number of words between the abort and the function. A thread has more
    /// than these on its stack.
    const WORDS: usize = 256;
    /// Maximum number of bytes of the function.
    const BYTES: usize = 128;
    let function = alloc::handle_alloc_error as fn(alloc::Layout) -> ! as usize;
    let stack = stack.next_multiple_of(mem::size_of::<usize>()) as *const usize;
    (0..WORDS).any(|index| {
        // SAFETY: the thread's stack, above what is in use.
        let word = unsafe { stack.add(index).read_volatile() };
        (1..=BYTES).contains(&word.wrapping_sub(function))
    })
}

/// Writes to the standard error (write(2)).
pub(crate) fn print(bytes: &[u8]) {
    // SAFETY: reads the bytes.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

fn last_word(crash: Crash) {
    let last_word = LAST_WORD.swap(ptr::null_mut(), Ordering::Relaxed);
    if !last_word.is_null() {
        // SAFETY: only `install` stores there, and a function of this type.
        let last_word = unsafe { mem::transmute::<*mut (), LastWord>(last_word) };
        last_word(crash);
    }
}

/// Sends this thread a signal, which comes when the handler returns (tgkill(2)).
fn raise(signal: c_int) {
    // SAFETY: takes a number.
    unsafe { libc::raise(signal) };
}

/// Whether this is the thread that the process began with (gettid(2)).
fn is_first_thread() -> bool {
    // SAFETY: neither call has preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) == libc::c_long::from(libc::getpid()) }
}

/// Whether a fault at this address means that the stack could not grow: it is near
/// the end of what is in use, where memory is unmapped for no other reason.
fn is_beyond(stack: usize, address: usize) -> bool {
    /// Number of bytes that the kernel leaves free below a stack, and a large
    /// frame.
    const BELOW: usize = 2 << 20;
    /// Number of bytes that a call may have written above the pointer.
    const ABOVE: usize = 64 << 10;
    (stack.saturating_sub(BELOW)..stack.saturating_add(ABOVE)).contains(&address)
}

/// The interrupted code's stack pointer, where this crate knows the processor.
///
/// # Safety
///
/// `context` is what the kernel has passed to a handler.
unsafe fn stack_pointer(context: *mut c_void) -> Option<usize> {
    // SAFETY: the caller says so.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    #[cfg(target_arch = "x86_64")]
    let pointer = Some(context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize);
    #[cfg(target_arch = "aarch64")]
    let pointer = Some(context.uc_mcontext.sp as usize);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let pointer = {
        let _ = context;
        None
    };
    pointer
}
