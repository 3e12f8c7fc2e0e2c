//! The template: a process that waits for requests, and forks a child for each.
//! RUNS IN: template, monitor
//!
//! Blocking, single-threaded, without tokio: a template must stay a process that can
//! fork safely and cheaply. Nothing here returns into the program that the template
//! was forked from. The template knows nothing of the caller's side; both meet in
//! `protocol`.
//!
//! [`server`] is the loop; [`children`] keeps the children and reaps them; [`spares`]
//! decides when a child is forked in advance. What a child does from the fork on is in
//! `child`, which returns to [`server`] what is left to do.
//!
//! # What a start costs
//!
//! The system calls of one start of a worker without arguments, and of the report of
//! its exit (`strace -f -c`, x86-64, glibc). The wait that a process is in before does
//! not count.
//!
//! | process | until ready | until the status |
//! |---|---|---|
//! | caller | `socketpair`, `setsockopt`, `pipe2`, `sendmsg`, `close`, `poll`, 2 `recvmsg`, `pidfd_send_signal`, `ioctl`, `setsockopt`, `close` | 3 `poll`, `read`, `waitid`, 3 `close` |
//! | template | `epoll_wait`, `recvmsg`, `prlimit`, `fcntl`, `clone` | `pidfd_open`, `epoll_ctl`, `close`; at the end `epoll_wait`, 2 `waitid`, `epoll_ctl`, `write`, 2 `close` |
//! | child | `set_robust_list`, 2 `getpid`, 3 `close_range`, `prctl`, `rt_sigprocmask`, `pidfd_open`, `sendmsg` | 2 `close`, `getpid`, 2 `fcntl`, `write`, `exit_group` |
//!
//! A spare has closed descriptors and has set its title before; it makes `recvmsg`,
//! `sendmsg`, `write`, 3 `close`, `prctl` and `rt_sigpending` instead. The caller waits
//! for the template neither until it is ready nor until the status.
//!
//! The rest is the kernel's: a page table to copy and to drop, 25 page faults of the
//! child and 7 of the template, and a wake-up each for template, child and caller. Of
//! the child's faults, 7 are the C library's `fork`; 11 are for code, which a new
//! process finds unmapped. So a child does as little as possible of what its template
//! could do before the fork (`child::fast_path`). Processors that sleep while they
//! wait for each other cost more than all that: three wake-ups across processors take
//! about as long as the whole start.
//!
//! A program needs no copy of the template ([`programs`]): its child shares the template's
//! memory, makes 3 `rt_sigaction`, 3 `dup3`, `fchdir`, 3 `close_range`, `rt_sigprocmask`,
//! `rt_sigaction`, `getpid`, `pidfd_open` and `sendmsg`, and executes it. The template does
//! not wait for the exec, whose end of the reply socket wakes the caller.
//!
//! With 32 live workers or more, the template looks up its descriptor limit once more
//! for each start and each exit; for every 256 of them, it forks a [monitor]. So its
//! descriptor table stays small, and the rate of starts nearly the same with thousands
//! of live workers.
//!
//! [monitor]: children::monitor

pub(crate) mod backoff;
pub(crate) mod children;
pub(crate) mod patience;
pub(crate) mod programs;
pub(crate) mod server;
pub(crate) mod spares;
pub(crate) mod token;
