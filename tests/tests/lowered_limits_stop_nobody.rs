//! A limit of descriptors that is lowered below the number of open ones, where poll(2) refuses
//! to wait for as many (`EINVAL`): a pool serves on, and a template ends with its program.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};

use anyfork::{ErrorKind, Pool, Process};
use anyfork_tests::{
    alone, bounded, has_ended, held, release, send_signal, set_soft_limit, template_of, until,
};

#[anyfork::early]
fn preload() {}

/// Tells that it is entered, and stays.
#[anyfork::call]
fn stay(mut told: PipeWriter, mut gate: PipeReader) {
    told.write_all(b"!").expect("a pipe");
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
}

#[test]
fn a_pool_sees_deaths() {
    let _alone = alone();
    let pool = Pool::builder(Process::new().unwrap()).max(2);
    let pool = pool.build().unwrap();
    let [(gate, writer), (other, _writer)] = [pipe().unwrap(), pipe().unwrap()];
    let calls = [gate, other].map(|gate| {
        let (mut told, tell) = pipe().unwrap();
        let call = stay::call(&pool, tell, gate);
        bounded("a call's begin", || told.read_exact(&mut [0])).unwrap();
        call
    });
    let [done, killed] = calls;
    let before = set_soft_limit(std::process::id(), libc::RLIMIT_NOFILE, 2).unwrap();
    drop(writer);
    let result = bounded("a call", || done.blocking());
    send_signal(killed.pid().unwrap(), libc::SIGKILL);
    let death = bounded("a death", || killed.blocking());
    set_soft_limit(std::process::id(), libc::RLIMIT_NOFILE, before).unwrap();
    result.unwrap();
    let error = death.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    bounded("a shutdown", || {
        pool.shutdown(Default::default()).blocking()
    })
    .unwrap();
}

#[test]
fn a_template_ends_with_its_program() {
    let _alone = alone();
    for limit in [0, 2] {
        let template = Process::new().unwrap();
        let worker = held(template.fork());
        let pid = template_of(&worker);
        release(worker);
        set_soft_limit(pid, libc::RLIMIT_NOFILE, limit).unwrap();
        drop(template);
        until("the template is gone", || has_ended(pid));
    }
}
