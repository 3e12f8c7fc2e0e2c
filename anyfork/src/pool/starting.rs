//! Starts of workers, as steps that never wait.
//! RUNS IN: caller

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::caller::child::exit_watch::ExitWatch;
use crate::caller::spawn::Progress;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::base::Base;
use crate::pool::connection::Connection;
use crate::pool::core::{Shared, WATCHER};
use crate::pool::ended;
use crate::pool::inner::{Inner, Trash};
use crate::pool::launched::Launched;
use crate::pool::live::{Line, Live, READABLE, Up};
use crate::pool::memory;
use crate::pool::several::Several;
use crate::pool::state::event::{Event, WorkerId};
use crate::sys::rights::Rights;

impl Shared {
    /// Asks the template for a worker.
    pub(crate) fn start(&self, worker: WorkerId, base: &Arc<Base>) {
        let started = match self.adopt_rights(worker) {
            Ok(rights) => base.start(rights.as_ref(), self.logs.as_ref()),
            Err(error) => Err(error),
        };
        let mut inner = self.lock();
        self.put_launch_back(&mut inner, worker, started);
        self.finish(inner);
    }

    /// Notes the rights of the program, which this worker will have. The watcher notes
    /// none: it starts workers only with rights that another thread has had.
    fn adopt_rights(&self, worker: WorkerId) -> Result<Option<Rights>> {
        // Where they cannot be looked at, nobody can change them.
        let Ok(rights) = Rights::now() else {
            return Ok(None);
        };
        let mut inner = self.lock();
        let has_changed = inner.rights.as_ref().is_some_and(|it| *it != rights);
        if has_changed && thread::current().name() == Some(WATCHER) {
            drop(inner);
            let message = "the rights of the program have changed, so a thread of the program has \
                           to start the next worker";
            return Err(Error::new(ErrorKind::ForkFailed, message));
        }
        inner.rights = Some(rights.clone());
        if has_changed {
            self.tell(&mut inner, Event::NewRights(worker));
        }
        self.finish(inner);
        Ok(Some(rights))
    }

    /// Takes a step of a start that is under way.
    pub(crate) fn step_start(&self, worker: WorkerId) {
        let mut inner = self.lock();
        let launch = match inner.workers.get_mut(&worker) {
            Some(Live::Starting(starting)) => starting.launch.take(),
            _ => None,
        };
        if let Some(mut launch) = launch {
            drop(inner);
            let stepped = launch.spawn.step();
            if let (Some(outputs), Some(pid)) = (&launch.outputs, launch.spawn.claimed_pid()) {
                outputs.set_pid(pid);
            }
            let progress = match stepped {
                Ok(Progress::WaitFor(_)) if is_late(&launch) => {
                    Err(Error::too_late(launch.spawn.what()))
                }
                progress => progress,
            };
            match progress {
                Ok(Progress::WaitFor(wait)) => {
                    launch.wait = wait;
                    inner = self.lock();
                    self.put_launch_back(&mut inner, worker, Ok(launch));
                }
                Ok(Progress::Ready(watch)) => {
                    let up = self.up(*launch, watch);
                    inner = self.lock();
                    self.ready(&mut inner, worker, up);
                }
                Err(error) => {
                    drop(launch);
                    inner = self.lock();
                    self.put_launch_back(&mut inner, worker, Err(error));
                }
            }
        }
        self.finish(inner);
    }

    fn put_launch_back(&self, inner: &mut Inner, worker: WorkerId, launch: Result<Box<Launched>>) {
        let Some(Live::Starting(starting)) = inner.workers.get_mut(&worker) else {
            return;
        };
        let error = match launch {
            Ok(launch) if !starting.is_killed => {
                starting.launch = Some(launch);
                inner.watcher.is_wanted = true;
                return;
            }
            Ok(launch) => {
                starting.launch = Some(launch);
                ended::closed()
            }
            // The template was there when the start was asked for.
            Err(error)
                if error.kind() == ErrorKind::TemplateGone
                    && starting.base.is_remade()
                    && !starting.is_retried
                    && !starting.is_killed =>
            {
                starting.is_retried = true;
                let base = Arc::clone(&starting.base);
                inner.todo.starts.push((worker, base));
                return;
            }
            Err(error) => error,
        };
        if let Some(live) = inner.workers.remove(&worker) {
            inner.todo.trash.push(Trash::Live(live));
        }
        self.tell(inner, Event::StartFailed(worker, error));
    }

    /// A worker is about to serve.
    fn up(&self, launch: Launched, watch: ExitWatch) -> Box<Up> {
        let Launched {
            spawn,
            page,
            outputs,
            ..
        } = launch;
        let socket = Arc::new(spawn.into_socket());
        let pid = watch.pid();
        if let Some(outputs) = &outputs {
            outputs.set_pid(pid);
        }
        let memory = match self.options.retire_growth {
            Some(_) => memory::private_of(pid).unwrap_or_default(),
            None => 0,
        };
        let mut connection = Connection::new(Arc::clone(&socket));
        let several = self.options.gives_several.then(|| {
            connection.expect_several(self.options.max_result);
            Box::new(Several::new(&socket))
        });
        let line = Line {
            connection,
            pid,
            memory,
        };
        Box::new(Up {
            line: Some(Box::new(line)),
            socket,
            #[cfg(feature = "tokio")]
            readiness: None,
            wait: READABLE,
            watch,
            page,
            outputs,
            call: None,
            several,
            unread_since: None,
            is_watched: false,
            ended: None,
            awaits_record: false,
            is_reported: false,
            exit: None,
        })
    }

    fn ready(&self, inner: &mut Inner, worker: WorkerId, up: Box<Up>) {
        let is_killed = match inner.workers.get(&worker) {
            Some(Live::Starting(starting)) => starting.is_killed,
            _ => true,
        };
        let before = match is_killed {
            true => {
                // Dropped, it is killed.
                inner.todo.trash.push(Trash::Live(Live::Up(up)));
                inner.workers.remove(&worker)
            }
            false => inner.workers.insert(worker, Live::Up(up)),
        };
        if let Some(before) = before {
            inner.todo.trash.push(Trash::Live(before));
        }
        inner.watcher.is_wanted = true;
        let event = match is_killed {
            true => Event::StartFailed(worker, ended::closed()),
            false => Event::Ready(worker),
        };
        self.tell(inner, event);
    }
}

fn is_late(launch: &Launched) -> bool {
    let deadline = launch.spawn.deadline();
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}
