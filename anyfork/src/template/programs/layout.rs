//! [`Layout`]: lays a program's child out, in the order of `child::role`.
//! RUNS IN: template
//!
//! See there for why each step is where it is. `None` on the way: the program is left to a
//! fork, whose child reports what is wrong with it.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::args::value::Arg;
use crate::child::attributes::{self, Change};
use crate::child::request::Request;
use crate::child::role::Inherited;
use crate::child::surroundings::Taken;
use crate::error::ErrorKind;
use crate::protocol::direct::{DirectArg, DirectProgram, DirectSetting};
use crate::protocol::{MAX_FAILURE, reply};
use crate::resource::Resource;
use crate::sys::vm_child::region::Region;
use crate::sys::vm_child::script::{Disposition, Script};
use crate::sys::vm_child::task::{Failure, Frames, Text};
use crate::sys::{attributes as sys_attributes, fd, signal};
use crate::template::programs::image;
use crate::template::programs::prepared::Prepared;

/// The number of the first descriptor that the caller gave without a number.
const FIRST_NUMBER: RawFd = 3;

const STREAMS: [Text; 3] = [
    Text::fixed("set stdin"),
    Text::fixed("set stdout"),
    Text::fixed("set stderr"),
];

/// What a program's child is laid out from.
pub(super) struct Layout<'a> {
    pub(super) program: &'a DirectProgram<'a>,
    pub(super) request: &'a Request<'a>,
    pub(super) inherited: &'a Inherited<'a>,
    pub(super) template: &'a Prepared,
    /// Descriptors that the child gets beside the request's, and the template closes.
    pub(super) held: Vec<OwnedFd>,
}

/// A failure that does not name the program.
fn unnamed(text: &'static str) -> Failure {
    Failure {
        text: Text::fixed(text),
        names_program: false,
    }
}

fn named(text: Text) -> Failure {
    Failure {
        text,
        names_program: true,
    }
}

/// A text of the request for a message, which is cut anyway if it is longer.
fn shown(text: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(text).into_owned();
    text.truncate(text.floor_char_boundary(MAX_FAILURE / 4));
    text
}

impl Layout<'_> {
    /// Lays the child out, and gives the descriptors that it gets beside the request's.
    pub(super) fn lay_out(mut self, region: Region) -> Option<(Script, Vec<OwnedFd>)> {
        let name = shown(self.program.path);
        let frames = Frames {
            ready: reply::ready,
            failed: reply::failed_head,
            codes: [ErrorKind::Io, ErrorKind::ExecFailed].map(reply::kind_code),
        };
        let socket = self.request.socket.as_raw_fd();
        let (start, exec) = (format!("start `{name}`: "), format!("execute `{name}`"));
        let not_told = named(Text::fixed("tell the caller that the process is ready"));
        let mut script = Script::new(region, socket, frames, &start, &exec, not_told).ok()?;
        let handled = (1..=64).filter(|signal| self.template.handled >> (signal - 1) & 1 != 0);
        handled.for_each(|signal| script.signal(signal, Disposition::Default));
        self.surroundings(&mut script)?;
        let nulls = self.open_nulls()?;
        let kept = self.kept();
        let failure = unnamed("close the template's descriptors in the child");
        script.close_others(&kept, failure);
        if let Some(limit) = self.inherited.limits.original_if_raised() {
            let failure = unnamed("restore RLIMIT_NOFILE");
            let resource = Resource::NOFILE.number();
            script.limit(resource, limit, failure).ok()?;
        }
        self.settings(&mut script, nulls)?;
        if signal::ignores_sigchld() {
            script.signal(libc::SIGCHLD, Disposition::Ignored);
        }
        script.unblock_signals(named(Text::fixed("unblock signals")));
        self.descriptors(&mut script, &kept);
        let ignores_sigpipe = self
            .program
            .settings
            .iter()
            .any(|setting| matches!(setting, DirectSetting::IgnoreSignal(libc::SIGPIPE)));
        let sigpipe = match ignores_sigpipe || signal::programs_ignore_sigpipe() {
            true => Disposition::Ignored,
            false => Disposition::Default,
        };
        script.signal(libc::SIGPIPE, sigpipe);
        image::lay_out_args(&mut script, self.program, self.inherited)?;
        image::lay_out_environment(&mut script, self.program, self.template)?;
        Some((script, self.held))
    }

    fn surroundings(&mut self, script: &mut Script) -> Option<()> {
        for taken in self.request.surroundings.taken() {
            let failure = unnamed(taken.what());
            match taken {
                Taken::Stream(number, stream) => {
                    script.duplicate(stream.as_raw_fd(), number.into(), failure);
                }
                Taken::Null(number) => {
                    let null = fd::open_null(number).ok()?;
                    script.duplicate(null.as_raw_fd(), number.into(), failure);
                    self.held.push(null);
                }
                Taken::Directory(directory) => script.enter(directory.as_raw_fd(), failure),
            }
        }
        Some(())
    }

    /// Opens `/dev/null` for each stream that is set to it.
    fn open_nulls(&mut self) -> Option<Vec<RawFd>> {
        let mut nulls = Vec::new();
        for setting in &self.program.settings {
            if let DirectSetting::Stream { number, to: None } = setting {
                let null = fd::open_null(*number).ok()?;
                nulls.push(null.as_raw_fd());
                self.held.push(null);
            }
        }
        Some(nulls)
    }

    /// The descriptors that stay open to the exec, sorted.
    fn kept(&self) -> Vec<RawFd> {
        let request = self.request;
        let mut kept = vec![request.socket.as_raw_fd(), request.status.as_raw_fd()];
        kept.extend(request.inline_fds.iter().map(AsRawFd::as_raw_fd));
        kept.extend(self.passed_on());
        kept.extend(self.held.iter().map(AsRawFd::as_raw_fd));
        kept.sort_unstable();
        kept
    }

    /// The descriptors among the arguments that the template passes on.
    fn passed_on(&self) -> impl Iterator<Item = RawFd> {
        self.inherited.args.iter().filter_map(|arg| match arg {
            Arg::Fd(fd) => Some(fd.as_raw_fd()),
            Arg::Bytes(_) => None,
        })
    }

    fn settings(&self, script: &mut Script, nulls: Vec<RawFd>) -> Option<()> {
        let mut nulls = nulls.into_iter();
        let mut nice = self.template.attributes.nice;
        for setting in &self.program.settings {
            match setting {
                DirectSetting::Stream { number, to } => {
                    let fd = match to {
                        Some(at) => self.request.inline_fds.get(*at)?.as_raw_fd(),
                        None => nulls.next()?,
                    };
                    let failure = named(STREAMS[usize::from(*number)]);
                    script.duplicate(fd, (*number).into(), failure);
                }
                DirectSetting::Attributes {
                    attributes,
                    prepared,
                } => {
                    let mut ours = self.template.attributes.clone();
                    let original = self.inherited.limits.original_if_raised();
                    let files = ours.limits.get_mut(Resource::NOFILE.number() as usize);
                    if let (Some(limit), Some(original)) = (files, original) {
                        *limit = original;
                    }
                    for change in attributes::changes(attributes, &ours, *prepared) {
                        if let Change::Nice(value) = change {
                            nice = Some(value);
                        }
                        lay_out_attribute(script, &change)?;
                    }
                }
                DirectSetting::Session => {
                    script.new_session(named(Text::fixed("set setsid")));
                }
                DirectSetting::Terminal(at) => {
                    let terminal = self.request.inline_fds.get(*at)?.as_raw_fd();
                    let failure = named(Text::fixed("set controlling_terminal"));
                    script.set_terminal(terminal, failure);
                }
                DirectSetting::Umask(mask) => script.umask(*mask),
                DirectSetting::IgnoreSignal(signal) => {
                    // The kernel refuses some, and the C library two more.
                    let is_refused = matches!(*signal, libc::SIGKILL | libc::SIGSTOP | 32 | 33);
                    if is_refused || !(1..=64).contains(signal) {
                        return None;
                    }
                    script.signal(*signal, Disposition::Ignored);
                }
                DirectSetting::Affinity(numbers) => {
                    let set = sys_attributes::set_of_processors(numbers).ok()?;
                    let text = script.text(&format!("set affinity {numbers:?}")).ok()?;
                    script.affinity(&set, named(text)).ok()?;
                }
                DirectSetting::Root(path) => {
                    let text = script.text(&format!("set chroot `{}`", shown(path)));
                    let path = CString::new(*path).ok()?;
                    script.change_root(&path, named(text.ok()?)).ok()?;
                }
                DirectSetting::NoNewPrivs => {
                    script.set_no_new_privs(named(Text::fixed("set no_new_privs")));
                }
                DirectSetting::ProcessGroup(group) => {
                    let text = script.text(&format!("set process_group {group}")).ok()?;
                    script.join_group(*group, named(text));
                }
                DirectSetting::Limit {
                    resource,
                    soft,
                    hard,
                } => {
                    let name = Resource::from(*resource);
                    let text = script.text(&format!("set rlimit {name} to {soft} and {hard}"));
                    let failure = named(text.ok()?);
                    script.limit(*resource, (*soft, *hard), failure).ok()?;
                }
                DirectSetting::Nice(step) => {
                    let text = script.text(&format!("set nice {step}")).ok()?;
                    let value = nice?.saturating_add(*step).clamp(-20, 19);
                    nice = Some(value);
                    script.add_nice(value, named(text));
                }
                DirectSetting::Directory(path) => {
                    let text = script.text(&format!("set current_dir `{}`", shown(path)));
                    let path = CString::new(*path).ok()?;
                    script.enter_path(&path, named(text.ok()?)).ok()?;
                }
            }
        }
        Some(())
    }

    /// Gives the descriptors their numbers, which may be those of others.
    fn descriptors(&self, script: &mut Script, kept: &[RawFd]) {
        let failure = named(Text::fixed("give a descriptor its number"));
        // The program's own code may have opened these, and exec is to close them.
        let passed_on: Vec<RawFd> = self.passed_on().collect();
        passed_on
            .iter()
            .for_each(|fd| script.close_on_exec(*fd, failure));
        let wanted = self.wanted();
        let is_wanted = |number| wanted.iter().any(|(_, it)| *it == number);
        let mut next = FIRST_NUMBER;
        let mut free_number = || {
            while kept.contains(&next) || is_wanted(next) {
                next += 1;
            }
            next += 1;
            next - 1
        };
        if is_wanted(self.request.socket.as_raw_fd()) {
            script.move_socket(free_number(), failure);
        }
        for (mut fd, number) in wanted.iter().copied() {
            if is_wanted(fd) {
                let moved = free_number();
                script.move_to(fd, moved, failure);
                fd = moved;
            }
            script.duplicate_last(fd, number, failure);
        }
    }

    /// The descriptors that the program finds, and their numbers there.
    fn wanted(&self) -> Vec<(RawFd, RawFd)> {
        let number_of = |at: usize| self.request.inline_fds[at].as_raw_fd();
        let collected = self.program.collected.iter().filter_map(|arg| match arg {
            DirectArg::Fd(at) => Some(number_of(*at)),
            DirectArg::Bytes(_) => None,
        });
        let unnumbered = self.passed_on().chain(collected).zip(FIRST_NUMBER..);
        let given = self.program.fds.iter();
        let given = given.map(|(at, number)| (number_of(*at), *number));
        unnumbered.chain(given).collect()
    }
}

/// Lays one of the caller's attributes out. `None`: the kernel would change it in all
/// processes that share the memory.
fn lay_out_attribute(script: &mut Script, change: &Change) -> Option<()> {
    let failure = |script: &mut Script| script.text(&change.what()).ok().map(named);
    match change {
        Change::Umask(umask) => script.umask(*umask),
        Change::Ignored { from, to } => {
            for signal in (1..=64).filter(|signal| (from ^ to) >> (signal - 1) & 1 != 0) {
                let disposition = match to >> (signal - 1) & 1 {
                    0 => Disposition::Default,
                    _ => Disposition::Ignored,
                };
                script.signal(signal, disposition);
            }
        }
        Change::Affinity(set) => {
            let failure = failure(script)?;
            script.affinity(set, failure).ok()?;
        }
        Change::OomScore(_) => return None,
        Change::Limit {
            resource,
            soft,
            hard,
        } => {
            let failure = failure(script)?;
            script.limit(*resource, (*soft, *hard), failure).ok()?;
        }
        Change::Nice(nice) => {
            let failure = failure(script)?;
            script.nice(*nice, failure);
        }
    }
    Some(())
}
