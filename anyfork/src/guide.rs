//! Pages for users of other libraries, and pages on what concerns the whole crate.
//! <!-- RUNS IN: any -->
//!
//! | page | for |
//! |---|---|
//! | [`from_anyevent_fork`] | users of AnyEvent::Fork, its RPC and its Pool |
//! | [`from_multiprocessing`] | users of Python's `multiprocessing` and `ProcessPoolExecutor` |
//! | [`from_command`] | users of std's and tokio's `Command` |
//! | [`from_procspawn`] | users of procspawn |
//! | [`fork_safety`] | what a template may load, and what it must not load |
//! | [`security`] | who trusts whom, and what anyfork guarantees |
//! | [`performance`] | what a start and a call cost, and what makes them cost more |
//! | [`mistakes`] | the messages that newcomers meet, and what to write instead |
//! | [`how_it_works`] | the processes, and the messages between them |

#[doc = include_str!("../docs/from_anyevent_fork.md")]
pub mod from_anyevent_fork {}

#[doc = include_str!("../docs/from_multiprocessing.md")]
pub mod from_multiprocessing {}

#[doc = include_str!("../docs/from_command.md")]
pub mod from_command {}

#[doc = include_str!("../docs/from_procspawn.md")]
pub mod from_procspawn {}

#[doc = include_str!("../docs/fork_safety.md")]
pub mod fork_safety {}

#[doc = include_str!("../docs/security.md")]
pub mod security {}

#[doc = include_str!("../docs/performance.md")]
pub mod performance {}

#[doc = include_str!("../docs/mistakes.md")]
pub mod mistakes {}

#[doc = include_str!("../docs/how_it_works.md")]
pub mod how_it_works {}
