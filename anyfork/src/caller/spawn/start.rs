//! Begins a spawn: makes its message, and sends it with its descriptors.
//! RUNS IN: caller

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::caller::child::status::StatusPipe;
use crate::caller::spawn::descriptors::Descriptors;
use crate::caller::spawn::send::{Request, RequestSender};
use crate::caller::spawn::spec::SpawnSpec;
use crate::caller::spawn::{Job, Spawn};
use crate::caller::stdio::Streams;
use crate::caller::templates;
use crate::caller::templates::handle::TemplateHandle;
use crate::caller::trace::Trace;
use crate::error::{Error, Result};
use crate::protocol::request::{BodyAt, Head};
use crate::sys::memfd;

impl Spawn<UnixStream> {
    /// Asks the template, or another one with the caller's present rights, for a
    /// process. The request is sent, or will be when there is room for it.
    pub(crate) fn start(
        template: &Arc<TemplateHandle>,
        spec: SpawnSpec,
        descriptors: Descriptors,
        trace: Trace,
    ) -> Result<(Spawn<UnixStream>, Streams)> {
        let template = templates::with_present_rights(template, spec.bounding_set)?;
        if template.known_lost_since().is_some() {
            return Err(template.why_gone());
        }
        let what = spec.what();
        let SpawnSpec {
            role,
            mut body,
            control,
            kill_on_drop,
            piped,
            mut surroundings,
            bounding_set: _,
            deadline,
        } = spec;
        let failed = |step| {
            let message = format!("start `{what}`: {step}");
            move |error: io::Error| Error::io(message, error)
        };
        let Descriptors {
            reply: (mine, theirs),
            status: (status, status_writer),
            directory,
            reserve,
            streams,
            settings,
        } = descriptors;
        body.settings.extend(settings);
        let inits = body.inits();
        let (body, mut passed) = body.encode();
        for (sent, is_piped) in surroundings.streams.iter_mut().zip(piped) {
            *sent = *sent && !is_piped;
        }
        surroundings.directory = directory.is_some();
        let head = Head {
            kill_on_drop,
            surroundings,
            ..Head::new(role, &body, passed.len())
        };

        let mut fds = vec![theirs.into(), status_writer];
        fds.extend(control);
        drop(reserve);
        if head.body_at == BodyAt::Memfd {
            fds.push(memfd::store(&body).map_err(failed("store the arguments"))?);
        }
        let streams_at = fds.len();
        fds.extend(directory);
        let mut following = passed.split_off(head.inline_fds as usize);
        following.reverse();
        fds.extend(passed);

        let request = Request {
            message: head.encode(&body),
            fds,
            surroundings,
            streams_at,
        };
        let job = Job {
            template,
            what,
            role,
            kill_on_drop,
            inits,
            deadline,
            trace,
        };
        let sender = RequestSender::new(request, following);
        let mut spawn = Spawn::new(job, StatusPipe::new(status), sender, mine);
        spawn.send()?;
        Ok((spawn, streams))
    }
}
