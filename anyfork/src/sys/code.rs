//! Code that is mapped before it runs.
//! RUNS IN: spare

use std::ffi::c_void;

/// Maps the page of a function, and those around it that the kernel maps with it, without
/// running it (`MADV_POPULATE_READ`, madvise(2)). A kernel before Linux 5.14 maps it when it
/// runs.
pub(crate) fn map(function: *const ()) {
    /// The smallest page that there is: the kernel wants an address that is a multiple of
    /// its own, and refuses others.
    const PAGE: usize = 4096;
    let page = function.map_addr(|address| address & !(PAGE - 1));
    let page = page.cast_mut().cast::<c_void>();
    // SAFETY: changes no memory; an address that is not mapped is an error.
    unsafe { libc::madvise(page, PAGE, libc::MADV_POPULATE_READ) };
}
