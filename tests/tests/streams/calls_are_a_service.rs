//! Calls of a pool stand behind the layers of tower.

use std::future::ready;
use std::io::PipeReader;
use std::time::Duration;

use anyfork::{Error, ErrorKind, Pool};
use anyfork_tests::{bounded, has_ended, runtime, until};
use tower::retry::Policy;
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::{end, gate, pool_of, process};

#[anyfork::call]
fn add(a: u32, b: u32) -> u32 {
    a + b
}

/// Stays until the other end of the gate is closed.
#[anyfork::call]
fn stay(mut gate: PipeReader) -> u32 {
    use std::io::Read;
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    std::process::id()
}

#[anyfork::call]
fn die() {
    // SAFETY: takes a number.
    unsafe { libc::raise(libc::SIGKILL) };
}

/// Repeats what was surely not entered, and counts.
#[derive(Clone)]
struct Retry(u32);

impl<Request: Clone, Response> Policy<Request, Response, Error> for Retry {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request,
        result: &mut Result<Response, Error>,
    ) -> Option<Self::Future> {
        let is_safe = matches!(result, Err(error) if error.never_entered());
        self.0 = self.0.checked_sub(1)?;
        is_safe.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(request.clone())
    }
}

#[test]
fn requests_are_served() {
    let pool = pool_of(2);
    bounded("requests", || {
        runtime().block_on(async {
            let mut service = add::service(&pool);
            for n in 0..10 {
                assert_eq!(
                    service.ready().await.unwrap().call((n, 1)).await.unwrap(),
                    n + 1
                );
            }
        });
    });
    end(pool);
}

#[test]
fn a_timeout_ends_the_worker() {
    let pool = pool_of(1);
    let (reader, _writer) = gate();
    bounded("a request", || {
        runtime().block_on(async {
            let limit = Duration::from_millis(20);
            let mut service = ServiceBuilder::new()
                .timeout(limit)
                .service(stay::service(&pool));
            let error = service
                .ready()
                .await
                .unwrap()
                .call(reader)
                .await
                .unwrap_err();
            assert!(error.is::<tower::timeout::error::Elapsed>(), "{error}");
        });
    });
    until("it was cancelled", || pool.stats().cancelled == 1);
    end(pool);
}

#[test]
fn what_has_no_room_is_shed() {
    let pool = pool_of(1);
    let (reader, writer) = gate();
    let running = stay::call(&pool, reader);
    until("it has a worker", || running.pid().is_some());
    bounded("requests", || {
        runtime().block_on(async {
            let mut service = ServiceBuilder::new()
                .load_shed()
                .service(add::service(&pool));
            let error = service
                .ready()
                .await
                .unwrap()
                .call((1, 2))
                .await
                .unwrap_err();
            assert!(error.is::<tower::load_shed::error::Overloaded>(), "{error}");
            drop(writer);
            running.await.unwrap();
            assert_eq!(
                service.ready().await.unwrap().call((1, 2)).await.unwrap(),
                3
            );
        });
    });
    end(pool);
}

#[test]
fn what_was_never_entered_is_retried() {
    let pool = Pool::builder(process()).max(1).queue(0).build().unwrap();
    let (reader, writer) = gate();
    let running = stay::call(&pool, reader);
    until("it has a worker", || running.pid().is_some());
    let pid = running.pid().unwrap();
    bounded("requests", || {
        runtime().block_on(async {
            let layers = || ServiceBuilder::new().retry(Retry(100_000));
            // Without `poll_ready` the pool refuses a call when it is full: that is repeated,
            // also in the pause between two calls.
            let mut service = layers().service(add::service(&pool));
            let request = service.call((4, 5));
            running.detach();
            drop(writer);
            assert_eq!(request.await.unwrap(), 9);

            let mut service = layers().service(die::service(&pool));
            let error = service.ready().await.unwrap().call(()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        });
    });
    until("one call has died", || pool.stats().died == 1);
    end(pool);
    until("all are gone", || has_ended(pid));
}
