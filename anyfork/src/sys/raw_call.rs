//! System calls that touch nothing of the C library, not even `errno`.
//! RUNS IN: template, child
//!
//! For a child that shares the memory of its template, in which `errno` is the template's.

/// Whether such calls can be made on this processor.
pub(in crate::sys) const AVAILABLE: bool = cfg!(any(
    all(target_arch = "x86_64", target_pointer_width = "64"),
    target_arch = "aarch64"
));

/// Makes a system call (syscall(2)). An error is a negative number.
///
/// # Safety
///
/// What the call does with its arguments must be sound.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[inline(always)]
pub(in crate::sys) unsafe fn raw_call(number: libc::c_long, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the caller's; the kernel changes the two registers that are named, and no
    // stack.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        )
    };
    result
}

/// Makes a system call (syscall(2)). An error is a negative number.
///
/// # Safety
///
/// What the call does with its arguments must be sound.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(in crate::sys) unsafe fn raw_call(number: libc::c_long, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the caller's; the kernel keeps all other registers.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") args[0] as isize => result,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x5") args[5],
            options(nostack),
        )
    };
    result
}

/// No call is made: see [`AVAILABLE`].
///
/// # Safety
///
/// None is needed.
#[cfg(not(any(
    all(target_arch = "x86_64", target_pointer_width = "64"),
    target_arch = "aarch64"
)))]
pub(in crate::sys) unsafe fn raw_call(_: libc::c_long, _: [usize; 6]) -> isize {
    -(libc::ENOSYS as isize)
}
