//! The exit of a worker that has not answered: it died, or was killed at its deadline.
//! RUNS IN: caller

use crate::caller::child::exit_watch::ExitState;
use crate::error::{Error, ErrorKind};
use crate::pool::connection::Progress;
use crate::pool::failed;
use crate::pool::fresh::course::{Course, Deadline, Event, Phase, Running, Wait, is_over, over};
use crate::sys::pidfd;

impl Course {
    pub(super) fn end_late(&mut self, worker: Running) -> (Phase, Option<Wait>) {
        if !pidfd::has_exited(worker.watch.pidfd()) {
            let wait = Wait {
                event: Event::Exit,
                until: None,
            };
            return (Phase::Late(worker), Some(wait));
        }
        // What has arrived whole counts.
        let mut progress = self.advance();
        while let Ok(Progress::Arrived(_)) = progress {
            progress = self.advance();
        }
        let result = match progress {
            Ok(Progress::Reply(reply)) => failed::result(self.name, reply.outcome),
            _ => {
                let has_entered = self.entered.has_entered(self.number);
                let pid = worker.watch.pid();
                Err(failed::too_late(self.name, pid, self.limit, has_entered))
            }
        };
        over(&worker, result)
    }

    pub(super) fn die(&mut self, worker: Running, deadline: Deadline) -> (Phase, Option<Wait>) {
        let exit = match worker.watch.try_wait() {
            Ok(ExitState::Exited(exit)) => Ok(exit),
            Ok(ExitState::AwaitsRecord | ExitState::AwaitsReap) => {
                let wait = Wait {
                    event: Event::Record,
                    until: worker.watch.next_look(),
                };
                return (Phase::Dying(worker, deadline), Some(wait));
            }
            Ok(ExitState::Running) => {
                let (deadline, until) = match deadline {
                    Deadline::KillAt(at) if is_over(at) => {
                        let _ = worker.watch.kill();
                        (Deadline::GiveUpAt(at), None)
                    }
                    Deadline::KillAt(at) => (Deadline::KillAt(at), Some(at)),
                    Deadline::GiveUpAt(at) => (Deadline::GiveUpAt(at), None),
                };
                let event = Event::Exit;
                return (Phase::Dying(worker, deadline), Some(Wait { event, until }));
            }
            Err(error) => Err(error),
        };
        let (name, pid) = (self.name, worker.watch.pid());
        let has_entered = self.entered.has_entered(self.number);
        let error = match deadline {
            Deadline::KillAt(_) => failed::died(
                (name, pid),
                exit,
                worker.begun.elapsed(),
                has_entered.then_some(0),
            ),
            Deadline::GiveUpAt(_) => {
                let message = format!(
                    "`{name}` closed the socket of its process and did not exit: process {pid} \
                     was killed"
                );
                Error::new(ErrorKind::Protocol, message)
            }
        };
        over(&worker, Err(error))
    }
}
