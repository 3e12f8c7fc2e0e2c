//! A storm: threads and tasks start, stop, kill, drop and let go workers, programs, spares
//! and templates at random. Every status is what happened, nothing hangs, and nothing is
//! left.
//!
//! `ANYFORK_STORM_SECONDS` is how long it lasts (20), and `ANYFORK_STORM_SEED` its seed.

use std::env;
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyfork::{Error, ErrorKind, Exit, Launch, Process, Worker, blocking};
use anyfork_tests::births::kill_now;
use anyfork_tests::random::Random;
use anyfork_tests::spares::idle;
use anyfork_tests::{Scene, alone, children, end_by, has_ended, new, poll_once};
use anyfork_tests::{runtime_of_two, send_signal, template_of, until};

#[anyfork::early]
fn preload() {}

/// Number of threads, and of tasks, that do something at a time.
const ACTORS: usize = 4;

/// What takes longer than this hangs, also on a machine with much to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the test when a step of an actor hangs.
struct Watchdog {
    steps: Vec<Mutex<(Instant, &'static str)>>,
    is_over: AtomicBool,
    until: Instant,
}

impl Watchdog {
    fn step(&self, actor: usize, what: &'static str) {
        *self.steps[actor].lock().unwrap() = (Instant::now(), what);
    }

    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    fn watch(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            for step in &self.steps {
                let (since, what) = *step.lock().unwrap();
                if since.elapsed() > PATIENCE {
                    eprintln!("hangs: {what}");
                    std::process::abort();
                }
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn number(variable: &str, or: u64) -> u64 {
    let number = env::var(variable).map(|it| it.parse());
    number.map_or(or, |it| it.expect("a number"))
}

#[test]
#[ignore = "a long run"]
fn every_status_is_what_happened_and_nothing_is_left() {
    let _alone = alone();
    let scene = Scene::early();
    let (seconds, seed) = (
        number("ANYFORK_STORM_SECONDS", 20),
        number("ANYFORK_STORM_SEED", 13),
    );
    println!("ANYFORK_STORM_SECONDS={seconds} ANYFORK_STORM_SEED={seed}");
    let now = Instant::now();
    let watchdog = Watchdog {
        steps: (0..2 * ACTORS)
            .map(|_| Mutex::new((now, "nothing")))
            .collect(),
        is_over: AtomicBool::new(false),
        until: now + Duration::from_secs(seconds),
    };
    let watchdog = &watchdog;
    let mut steps = 0;
    thread::scope(|scope| {
        scope.spawn(|| watchdog.watch());
        let threads: Vec<_> = (0..ACTORS)
            .map(|actor| scope.spawn(move || Actor::new(actor, seed, watchdog).work()))
            .collect();
        let tasks = scope.spawn(move || {
            // Tasks of two threads, which a scope cannot lend anything to.
            let actors = (ACTORS..2 * ACTORS)
                .map(|actor| async move { Actor::new(actor, seed, watchdog).work_async().await });
            runtime_of_two().block_on(join_all(actors.collect()))
        });
        steps += threads
            .into_iter()
            .map(|it| it.join().unwrap())
            .sum::<u64>();
        steps += tasks.join().unwrap();
        watchdog.is_over.store(true, Ordering::Relaxed);
    });
    println!("{steps} steps");
    scene.must_return();
}

/// Polls all of them until all are done; gives the sum.
async fn join_all(actors: Vec<impl Future<Output = u64>>) -> u64 {
    let mut actors: Vec<_> = actors.into_iter().map(|it| Some(Box::pin(it))).collect();
    let mut sum = 0;
    std::future::poll_fn(move |context| {
        for actor in &mut actors {
            if let Some(future) = actor
                && let std::task::Poll::Ready(steps) = future.as_mut().poll(context)
            {
                sum += steps;
                *actor = None;
            }
        }
        match actors.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(sum),
            false => std::task::Poll::Pending,
        }
    })
    .await
}

/// Starts a worker that stays until it is let go.
fn stay(process: Process) -> Launch<Worker> {
    end_by::run(process, 0, 0)
}

/// How a worker is ended, and what its exit must be.
#[derive(Clone, Copy, Debug)]
enum Fate {
    LetGo,
    Killed,
    Terminated,
    StoppedAndKilled,
    StoppedAndLetGo,
}

const FATES: [Fate; 5] = [
    Fate::LetGo,
    Fate::Killed,
    Fate::Terminated,
    Fate::StoppedAndKilled,
    Fate::StoppedAndLetGo,
];

impl Fate {
    /// What is done to the worker, but for letting it go.
    fn befall(self, pid: u32) {
        match self {
            Fate::LetGo => {}
            Fate::Killed => send_signal(pid, libc::SIGKILL),
            Fate::Terminated => send_signal(pid, libc::SIGTERM),
            Fate::StoppedAndKilled => {
                send_signal(pid, libc::SIGSTOP);
                send_signal(pid, libc::SIGKILL);
            }
            Fate::StoppedAndLetGo => {
                send_signal(pid, libc::SIGSTOP);
                send_signal(pid, libc::SIGCONT);
            }
        }
    }

    fn lets_go(self) -> bool {
        matches!(self, Fate::LetGo | Fate::StoppedAndLetGo)
    }

    fn must_have_been(self, exit: &Exit) {
        let (code, signal) = match self {
            Fate::LetGo | Fate::StoppedAndLetGo => (Some(0), None),
            Fate::Killed | Fate::StoppedAndKilled => (None, Some(libc::SIGKILL)),
            Fate::Terminated => (None, Some(libc::SIGTERM)),
        };
        assert_eq!((exit.code(), exit.signal()), (code, signal), "{self:?}");
    }
}

/// A thread or a task of the storm.
struct Actor<'a> {
    index: usize,
    random: Random,
    watchdog: &'a Watchdog,
    /// A template of its own, which it may kill at any time.
    own: Process,
    /// Its pid, while it is known.
    own_pid: Option<u32>,
    /// Processes that must have ended in the end.
    doomed: Vec<u32>,
}

impl<'a> Actor<'a> {
    fn new(index: usize, seed: u64, watchdog: &'a Watchdog) -> Actor<'a> {
        Actor {
            index,
            random: Random::new(seed.wrapping_mul(1000) + index as u64),
            watchdog,
            own: new().fork(),
            own_pid: None,
            doomed: Vec::new(),
        }
    }

    fn step(&self, what: &'static str) {
        self.watchdog.step(self.index, what);
    }

    /// A process of the default template or of the actor's own, with a few settings.
    fn process(&mut self) -> Process {
        let process = match self.random.one_in(2) {
            true => new(),
            false => self.own.fork(),
        };
        let process = match self.random.one_in(4) {
            true => process.env("STORM", "1").title("storm"),
            false => process,
        };
        process.kill_on_drop(self.random.one_in(2))
    }

    fn launch(&mut self) -> Launch<Worker> {
        let process = self.process();
        stay(process)
    }

    /// Checks that a launch that failed had a reason: the actor's own template was killed.
    fn must_have_a_reason(&mut self, error: &Error) {
        let has_reason = match error.kind() {
            ErrorKind::TemplateGone | ErrorKind::Died => self.own_was_killed(),
            ErrorKind::TimedOut => true,
            _ => false,
        };
        assert!(has_reason, "{error}");
    }

    fn own_was_killed(&self) -> bool {
        self.own_pid.is_some_and(has_ended)
    }

    /// Replaces the actor's own template, after killing it or a spare of it, or both.
    fn change_template(&mut self) {
        self.step("find the template");
        let worker = stay(self.own.fork()).blocking();
        if let Ok(worker) = worker {
            let pid = template_of(&worker);
            self.own_pid = Some(pid);
            self.step("kill a spare");
            for spare in idle(pid) {
                if self.random.one_in(2) {
                    // It may be a worker by now: nobody's but this actor's.
                    kill_now(spare);
                }
            }
            if self.random.one_in(2) {
                self.step("stop a template");
                send_signal(pid, libc::SIGSTOP);
                send_signal(pid, libc::SIGCONT);
            }
            if self.random.one_in(3) {
                self.step("kill a template");
                kill_now(pid);
                until("a template has ended", || has_ended(pid));
            }
            self.doomed.push(worker.pid());
            drop(worker);
        }
        self.step("make a template");
        self.own = match self.random.one_in(2) {
            true => new().fork(),
            false => new().keep_warm(1 + self.random.below(2)).fork(),
        };
        self.own_pid = None;
    }

    /// One random thing, in a thread that may block.
    fn act(&mut self, workers: &mut Vec<blocking::Worker>) {
        match self.random.below(10) {
            0..=2 if workers.len() < 6 => {
                self.step("launch");
                match self.launch().blocking() {
                    Ok(worker) => workers.push(worker),
                    Err(error) => self.must_have_a_reason(&error),
                }
            }
            3 => {
                self.step("drop a launch");
                drop(self.launch());
            }
            4 => {
                self.step("launch with a limit");
                let limit = Duration::from_micros(self.random.below(3000) as u64);
                let process = self.process().timeout(limit);
                match stay(process).blocking() {
                    Ok(worker) => workers.push(worker),
                    Err(error) => self.must_have_a_reason(&error),
                }
            }
            5 => {
                self.step("exit with a code");
                let (process, code) = (new(), self.random.below(256) as u8);
                let mut worker = end_by::run(process, code, 0).blocking().unwrap();
                worker.socket.shutdown(Shutdown::Write).unwrap();
                assert_eq!(worker.wait().unwrap().code(), Some(code.into()));
            }
            6 => {
                self.step("execute a program");
                let (path, code) = *self.random.of(&[("/bin/true", 0), ("/bin/false", 1)]);
                let mut child = new().exec(path).spawn().blocking().unwrap();
                assert_eq!(child.wait().unwrap().code(), Some(code));
            }
            7 => self.change_template(),
            _ => {
                if workers.is_empty() {
                    return;
                }
                let mut worker = workers.swap_remove(self.random.below(workers.len()));
                if self.random.one_in(4) {
                    self.step("drop a worker");
                    self.doomed.push(worker.pid());
                    return;
                }
                let fate = *self.random.of(&FATES);
                self.step("end a worker");
                fate.befall(worker.pid());
                if fate.lets_go() {
                    worker.socket.shutdown(Shutdown::Write).unwrap();
                }
                fate.must_have_been(&worker.wait().unwrap());
            }
        }
    }

    fn work(mut self) -> u64 {
        let (mut workers, mut steps) = (Vec::new(), 0);
        while self.watchdog.goes_on() {
            self.act(&mut workers);
            steps += 1;
        }
        self.step("let all go");
        self.doomed.extend(workers.iter().map(|it| it.pid()));
        drop(workers);
        self.end();
        steps
    }

    async fn act_async(&mut self, workers: &mut Vec<Worker>) {
        match self.random.below(8) {
            0..=2 if workers.len() < 6 => {
                self.step("await a launch");
                match self.launch().await {
                    Ok(worker) => workers.push(worker),
                    Err(error) => self.must_have_a_reason(&error),
                }
            }
            3 => {
                self.step("drop a launch that was polled");
                let launch = self.launch();
                let _ = poll_once(pin!(launch.into_future()).as_mut());
            }
            4 => {
                self.step("await an exit with a code");
                let code = self.random.below(256) as u8;
                let mut worker = end_by::run(new(), code, 0).await.unwrap();
                drop(worker.socket);
                let exit = worker.child.wait().await.unwrap();
                assert_eq!(exit.code(), Some(code.into()));
            }
            _ => {
                if workers.is_empty() {
                    return;
                }
                let mut worker = workers.swap_remove(self.random.below(workers.len()));
                let fate = *self.random.of(&FATES);
                self.step("await a worker's end");
                // A wait that is dropped loses nothing.
                let _ = poll_once(pin!(worker.child.wait()).as_mut());
                fate.befall(worker.child.pid());
                if fate.lets_go() {
                    drop(worker.socket);
                }
                fate.must_have_been(&worker.child.wait().await.unwrap());
            }
        }
    }

    async fn work_async(mut self) -> u64 {
        let (mut workers, mut steps) = (Vec::new(), 0);
        while self.watchdog.goes_on() {
            self.act_async(&mut workers).await;
            steps += 1;
        }
        self.step("let all go");
        self.doomed.extend(workers.iter().map(|it| it.child.pid()));
        drop(workers);
        self.end();
        steps
    }

    /// Waits until all that was dropped has ended: those that hold see the end of their
    /// sockets.
    fn end(mut self) {
        self.step("wait for what was dropped");
        if self.own_pid.is_none()
            && let Ok(worker) = stay(self.own.fork()).blocking()
        {
            self.own_pid = Some(template_of(&worker));
        }
        let (doomed, template) = (self.doomed, self.own_pid);
        drop(self.own);
        until("what was dropped has ended", || {
            doomed
                .iter()
                .all(|&pid| has_ended(pid) || !is_of(pid, template))
        });
    }
}

/// Whether a process, whose pid may be another's by now, is a child of a template.
fn is_of(pid: u32, template: Option<u32>) -> bool {
    template.is_some_and(|template| children(template).contains_key(&pid))
}
