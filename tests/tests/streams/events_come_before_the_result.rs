//! Events arrive in order, all before the result, wherever the function runs.

use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc;

use anyfork::{Call, ErrorKind, Failure, Fd, Sender};
use anyfork_tests::{bounded, has_ended, runtime, until};

use crate::{end, gate, pool_of, process};

#[anyfork::call(text_errors)]
fn count(to: u64, progress: Sender<u64>) -> anyfork::Result<u64> {
    for n in 0..to {
        progress.send(n).blocking()?;
    }
    Ok(to)
}

#[anyfork::call(text_errors)]
async fn count_async(progress: Sender<u64>, to: u64) -> anyfork::Result<u64> {
    for n in 0..to {
        progress.send(n).await?;
    }
    Ok(to)
}

/// Sends what a pipe says, until its end.
#[anyfork::call]
fn relay(bytes: Sender<u8>, mut from: PipeReader) {
    let mut byte = [0];
    while from.read(&mut byte).is_ok_and(|len| len > 0) {
        bytes.send(byte[0]).blocking().expect("the caller reads");
    }
}

#[anyfork::call]
fn fail_after(events: u32, sender: Sender<(u32, Vec<u8>)>) {
    for n in 0..events {
        sender
            .send((n, vec![n as u8; 100_000]))
            .blocking()
            .expect("the caller reads");
    }
    panic!("on purpose");
}

#[anyfork::call]
fn abort_after(events: u32, sender: Sender<u32>) {
    for n in 0..events {
        sender.send(n).blocking().expect("the caller reads");
    }
    std::process::abort();
}

#[anyfork::call]
fn pipes(sender: Sender<(String, Fd<File>)>) {
    for n in 0..3 {
        let (reader, mut writer) = gate();
        write!(writer, "{n}").expect("a pipe");
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let sent = sender.send((format!("pipe {n}"), Fd(file)));
        sent.blocking().expect("the caller reads");
    }
}

fn receive<R, E>(call: &mut Call<R, E>) -> Vec<E> {
    let events = || std::iter::from_fn(|| call.recv().blocking()).collect();
    bounded("events", events)
}

fn assert_counts(mut call: Call<Result<u64, Failure>, u64>, to: u64) {
    assert!(receive(&mut call).into_iter().eq(0..to));
    assert_eq!(bounded("a call", || call.recv().blocking()), None);
    assert_eq!(bounded("a call", || call.blocking()).unwrap(), Ok(to));
}

#[test]
fn many_events_arrive_in_order() {
    let pool = pool_of(2);
    for to in [0, 1, 100_000] {
        assert_counts(count::call(&pool, to), to);
        assert_counts(count_async::call(&pool, to / 10), to / 10);
    }
    assert_counts(count::call(process(), 10_000), 10_000);
    assert_counts(count_async::call(process(), 1000), 1000);
    end(pool);
}

#[test]
fn many_events_arrive_in_a_task() {
    let pool = pool_of(2);
    let count_all = async |mut call: Call<Result<u64, Failure>, u64>, to: u64| {
        let mut expected = 0;
        while let Some(n) = call.recv().await {
            assert_eq!(n, expected);
            expected += 1;
        }
        assert_eq!((expected, call.await.unwrap()), (to, Ok(to)));
    };
    bounded("calls", || {
        runtime().block_on(async {
            tokio::join!(
                count_all(count::call(&pool, 20_000), 20_000),
                count_all(count_async::call(&pool, 20_000), 20_000),
                count_all(count::call(&pool, 3), 3),
                count_all(count::call(process(), 20_000), 20_000),
            );
        });
    });
    end(pool);
}

#[test]
fn events_that_nobody_wants_stop_nothing() {
    let pool = pool_of(1);
    let to = 20_000;
    assert_eq!(
        bounded("a call", || count::call(&pool, to).blocking()).unwrap(),
        Ok(to)
    );
    assert_eq!(
        bounded("a call", || count::call(process(), to).blocking()).unwrap(),
        Ok(to)
    );
    bounded("calls", || {
        runtime().block_on(async {
            assert_eq!(count::call(&pool, to).await.unwrap(), Ok(to));
            assert_eq!(count::call(process(), to).await.unwrap(), Ok(to));
        });
    });
    count::call(&pool, to).detach();
    let one = count::call(&pool, 1);
    assert_eq!(bounded("a call", || one.blocking()).unwrap(), Ok(1));
    end(pool);
}

#[test]
fn each_event_arrives_at_once() {
    let pool = pool_of(1);
    for on_pool in [true, false] {
        let (reader, mut writer) = gate();
        let mut call = match on_pool {
            true => relay::call(&pool, reader),
            false => relay::call(process(), reader),
        };
        for n in 0..100 {
            writer.write_all(&[n]).unwrap();
            assert_eq!(bounded("an event", || call.recv().blocking()), Some(n));
        }
        drop(writer);
        assert_eq!(bounded("the end", || call.recv().blocking()), None);
        bounded("a call", || call.blocking()).unwrap();
    }
    end(pool);
}

#[test]
fn a_receive_that_is_dropped_takes_nothing() {
    let pool = pool_of(1);
    bounded("calls", || {
        runtime().block_on(async {
            for on_pool in [true, false] {
                let (reader, mut writer) = gate();
                let mut call = match on_pool {
                    true => relay::call(&pool, reader),
                    false => relay::call(process(), reader),
                };
                let mut seen = Vec::new();
                for n in 0..200 {
                    // The branch that is ready first drops the other one, at any moment.
                    writer.write_all(&[n]).unwrap();
                    for _ in 0..n % 7 {
                        tokio::select! {
                            biased;
                            event = call.recv() => seen.extend(event),
                            () = tokio::task::yield_now() => {}
                        }
                    }
                }
                drop(writer);
                while let Some(event) = call.recv().await {
                    seen.push(event);
                }
                assert!(seen.into_iter().eq(0..200));
                call.await.unwrap();
            }
        });
    });
    end(pool);
}

#[test]
fn events_before_a_death_arrive() {
    let pool = pool_of(1);
    let mut call = fail_after::call(&pool, 10);
    let events = receive(&mut call);
    assert!(
        events
            .iter()
            .map(|(n, bytes)| (*n, bytes.len()))
            .eq((0..10).map(|n| (n, 100_000)))
    );
    let error = bounded("a call", || call.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");

    for on_pool in [true, false] {
        let mut call = match on_pool {
            true => abort_after::call(&pool, 10),
            false => abort_after::call(process(), 10),
        };
        assert!(receive(&mut call).into_iter().eq(0..10));
        let error = bounded("a call", || call.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    }
    end(pool);
}

#[test]
fn a_call_that_is_dropped_ends_its_worker() {
    let pool = pool_of(1);
    for on_pool in [true, false] {
        let (reader, mut writer) = gate();
        let mut call = match on_pool {
            true => relay::call(&pool, reader),
            false => relay::call(process(), reader),
        };
        writer.write_all(b"x").unwrap();
        assert_eq!(bounded("an event", || call.recv().blocking()), Some(b'x'));
        let pid = call.pid().unwrap();
        drop(call);
        until("it is gone", || has_ended(pid));
    }
    end(pool);
}

#[test]
fn events_carry_descriptors() {
    let pool = pool_of(1);
    let mut call = pipes::call(&pool);
    for (n, (name, mut file)) in receive(&mut call).into_iter().enumerate() {
        let mut text = String::new();
        file.0.read_to_string(&mut text).unwrap();
        assert_eq!((name, text), (format!("pipe {n}"), n.to_string()));
    }
    bounded("a call", || call.blocking()).unwrap();
    end(pool);
}

#[test]
fn a_function_is_called_in_this_process() {
    let (events, seen) = mpsc::channel();
    let events = Mutex::new(events);
    let sender = Sender::new(move |n| events.lock().unwrap().send(n).unwrap());
    assert!(sender.try_send(7).unwrap());
    assert_eq!(count(3, sender).unwrap(), 3);
    assert_eq!(seen.iter().collect::<Vec<u64>>(), [7, 0, 1, 2]);
    assert_eq!(count(3, Sender::none()).unwrap(), 3);
}
