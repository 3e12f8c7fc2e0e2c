//! anyfork's workers: from a template, from a template with spares, and from a
//! fresh copy of the program.

use std::io::{self, Read, Write};
use std::mem;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use anyfork::{Launch, Process, Worker, blocking};

use crate::system::{Result, System};

/// Spares of a warm template: enough for eight that are asked for at once.
const SPARES: usize = 8;

/// Between the starts of a program that has other things to do.
pub(crate) const PAUSE: Duration = Duration::from_millis(1);

#[anyfork::worker]
pub(crate) fn nothing() {}

#[anyfork::worker]
fn one_byte(mut socket: UnixStream) -> io::Result<()> {
    socket.write_all(b".")
}

/// Says that it is there, and sleeps until its caller closes the socket.
#[anyfork::worker]
fn idle(mut socket: UnixStream) -> io::Result<()> {
    socket.write_all(b".")?;
    socket.read(&mut [0]).map(drop)
}

/// Where the clock stops.
#[derive(Clone, Copy)]
enum Until {
    /// The worker is entered.
    Ready,
    /// Its first byte has arrived.
    FirstByte,
    /// It has ended, and its status is known.
    Status,
}

/// Starts of workers.
struct Workers {
    name: &'static str,
    /// Where they are started from; `None` for a fresh copy of the program each.
    template: Option<Rc<Process>>,
    until: Until,
    pause: Option<Duration>,
    held: Vec<blocking::Worker>,
}

/// The template that systems share. It is exec'ed at first need: the program has
/// no early one, because each copy of it that other systems start (a bare fork's,
/// procspawn's) would have to fork one, too.
pub(crate) fn cold() -> Result<Rc<Process>> {
    Ok(Rc::new(Process::new()?.prepare().blocking()?))
}

/// The same with spares.
pub(crate) fn warm() -> Result<Rc<Process>> {
    let warm = Process::new()?.keep_warm(SPARES);
    Ok(Rc::new(warm.prepare().blocking()?))
}

pub(crate) fn systems(cold: &Rc<Process>, warm: &Rc<Process>) -> [Box<dyn System>; 7] {
    use Until::{FirstByte, Ready, Status};
    let system = |name, template: Option<&Rc<Process>>, until, pause| {
        let (template, held) = (template.cloned(), Vec::new());
        Box::new(Workers {
            name,
            template,
            until,
            pause,
            held,
        }) as Box<dyn System>
    };
    let (cold, warm) = (Some(cold), Some(warm));
    [
        system("anyfork cold, ready", cold, Ready, None),
        system("anyfork cold, byte", cold, FirstByte, None),
        system("anyfork cold, status", cold, Status, None),
        system("anyfork warm, ready", warm, Ready, None),
        system("anyfork warm, ready, 1 ms apart", warm, Ready, Some(PAUSE)),
        system("anyfork warm, status", warm, Status, None),
        system("anyfork new_exec, ready", None, Ready, None),
    ]
}

impl Workers {
    fn launch(&self, worker: &str) -> Result<Launch<Worker>> {
        let process = match &self.template {
            Some(template) => template.fork(),
            None => Process::new_exec()?,
        };
        Ok(process.run(worker))
    }

    /// Starts one, to where the clock stops, and gives it back to be waited for.
    fn start(&self) -> Result<Option<blocking::Worker>> {
        let worker = match self.until {
            Until::FirstByte => one_byte::NAME,
            Until::Ready | Until::Status => nothing::NAME,
        };
        let mut worker = self.launch(worker)?.blocking()?;
        match self.until {
            Until::Ready => Ok(Some(worker)),
            Until::FirstByte => {
                worker.socket.read_exact(&mut [0])?;
                Ok(Some(worker))
            }
            Until::Status => end(worker).map(|()| None),
        }
    }
}

/// Waits for a worker that ends by itself.
pub(crate) fn end(mut worker: blocking::Worker) -> Result<()> {
    let exit = worker.wait()?;
    match exit.success() {
        true => Ok(()),
        false => Err(format!("a worker ended badly: {exit}").into()),
    }
}

/// Starts idle workers.
pub(crate) fn hold(template: &Process, count: usize) -> Result<Vec<blocking::Worker>> {
    (0..count)
        .map(|_| await_idle(template.fork().run(idle::NAME)))
        .collect()
}

/// Waits until an idle worker is idle.
fn await_idle(launch: Launch<Worker>) -> Result<blocking::Worker> {
    let mut worker = launch.blocking()?;
    worker.socket.read_exact(&mut [0])?;
    Ok(worker)
}

/// Ends idle workers.
pub(crate) fn release(held: Vec<blocking::Worker>) -> Result<()> {
    for worker in &held {
        worker.socket.shutdown(Shutdown::Both)?;
    }
    held.into_iter().try_for_each(end)
}

impl System for Workers {
    fn name(&self) -> &'static str {
        self.name
    }

    fn block(&mut self, starts: usize) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(starts);
        for _ in 0..starts {
            if let Some(pause) = self.pause {
                thread::sleep(pause);
            }
            let begun = Instant::now();
            let started = self.start()?;
            times.push(begun.elapsed());
            if let Some(worker) = started {
                end(worker)?;
            }
        }
        Ok(times)
    }

    fn back_to_back(&self) -> bool {
        self.pause.is_none()
    }

    fn hold(&mut self, count: usize) -> Result<Option<Vec<u32>>> {
        // One of those that share a template is enough.
        if !matches!(self.until, Until::Ready) || self.pause.is_some() {
            return Ok(None);
        }
        self.held = (0..count)
            .map(|_| await_idle(self.launch(idle::NAME)?))
            .collect::<Result<_>>()?;
        Ok(Some(self.held.iter().map(|worker| worker.pid()).collect()))
    }

    fn release(&mut self) -> Result<()> {
        release(mem::take(&mut self.held))
    }
}
