//! The child's side: the processes that wait for requests, and what they fork.
//!
//! Blocking, single-threaded, without tokio: a template must stay a process
//! that can fork safely and cheaply. Nothing here returns into the program that
//! it was forked from. It knows nothing of the caller's side; both meet in
//! `protocol`.
//!
//! # What a start costs
//!
//! The system calls of one start of a worker without arguments, to its status
//! (`strace -f -c`, x86-64, glibc), but for those of the wait that it is in anyway:
//!
//! | who | to ready | to the status |
//! |---|---|---|
//! | caller | `socketpair`, `pipe2`, `sendmsg`, `close`, `poll`, `recvmsg`, `close` | 3 `poll`, `read`, `waitid`, 3 `close` |
//! | template | `epoll_wait`, `recvmsg`, `prlimit`, `clone` | `pidfd_open`, `epoll_ctl`, `close`; at the end `epoll_wait`, 2 `waitid`, `epoll_ctl`, `write`, 2 `close` |
//! | child | `set_robust_list`, 3 `close_range`, `newfstatat`, 2 `prctl`, `rt_sigprocmask`, 2 `getpid`, `pidfd_open`, `sendmsg` | 2 `close`, `unshare`, 2 `getrusage`, `newfstatat`, `write`, `exit_group` |
//!
//! A spare has done the child's first four before; it has `recvmsg`, `sendmsg`, `write`, 3
//! `close`, `prctl` and `rt_sigpending` instead, and the template is on the way to
//! neither. What is left is the kernel's: two page tables to copy and to drop, some
//! 25 page faults of the child and 15 of the template, and a wake-up each for
//! template, child and caller.
//!
//! With 32 live workers or more, the template looks for its limit of descriptors
//! once more for a start and for an end; every 128 of them, it forks a keeper
//! (`kept`). So its table stays small, and the rate of starts the same with
//! thousands alive.

mod arrival;
mod birth;
mod boot;
mod born;
mod child;
mod enter;
mod keeper;
mod kept;
mod limits;
mod lookup;
mod plain;
#[cfg(feature = "plugin")]
mod plugin;
mod prepare;
mod program;
mod reap;
mod report;
mod request;
mod serve;
mod settings;
mod spare;
mod title;
mod watch;
mod young;

pub(crate) use birth::snapshot;
#[cfg(feature = "plugin")]
pub use plugin::plugin_table;
