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
//! | template | `epoll_wait`, `recvmsg`, `prlimit`, `newfstatat`, `clone` | `pidfd_open`, `epoll_ctl`, `close`; at the end `epoll_wait`, 2 `waitid`, `epoll_ctl`, `write`, 2 `close` |
//! | child | `set_robust_list`, 2 `getpid`, 3 `close_range`, `prctl`, `rt_sigprocmask`, `pidfd_open`, `sendmsg` | 2 `close`, `unshare`, `getpid`, 2 `getrusage`, `newfstatat`, `write`, `exit_group` |
//!
//! A spare has closed and named before what a child does; it has `recvmsg`,
//! `sendmsg`, `write`, 3 `close`, `prctl` and `rt_sigpending` instead, and the
//! template is on the way to neither. What is left is the kernel's: a page table to
//! copy and to drop, 25 page faults of the child and 7 of the template, and a
//! wake-up each for template, child and caller. Of the child's faults, 7 are the C
//! library's `fork`; 11 are for code, which a new process finds unmapped: so a child
//! does as little as can be that its template could have done before the fork, see
//! `plain`. Processors that sleep while they wait for each other cost more than all
//! that: three wake-ups across processors about as much as the whole start.
//!
//! With 32 live workers or more, the template looks for its limit of descriptors
//! once more for a start and for an end; every 256 of them, it forks a keeper
//! (`kept`). So its table stays small, and the rate of starts nearly the same
//! with thousands alive.

pub(crate) mod backoff;
pub(crate) mod children;
pub(crate) mod server;
pub(crate) mod spares;
