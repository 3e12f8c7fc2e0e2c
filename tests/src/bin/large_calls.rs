//! A program of its own, whose memory is measured: gives 64 MiB to a call, and gets as
//! much back.

use std::fs;

use anyfork::Process;
use anyfork_tests::status;

const SIZE: usize = 64 << 20;

#[anyfork::call]
fn invert(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    bytes
}

/// Has its result before it has read any argument.
#[anyfork::call]
fn concat(all: Vec<String>, more: (Vec<u8>, String)) -> (String, Vec<u8>) {
    (all.concat() + &more.1, more.0)
}

#[anyfork::early]
fn main() {
    let process = || Process::new().expect("a template");
    // What else a call needs is there before.
    assert_eq!(
        invert::call(process(), vec![1])
            .blocking()
            .expect("a result"),
        [!1]
    );
    let what = std::env::args().nth(1).unwrap_or_default();
    // Resets the peak (proc(5)).
    fs::write("/proc/self/clear_refs", "5").expect("a reset");
    let before = peak();
    match what.as_str() {
        "both-ways" => {
            let back = invert::call(process(), vec![3; SIZE])
                .blocking()
                .expect("a result");
            assert!(back.len() == SIZE && back.iter().all(|byte| *byte == !3));
        }
        "awaited" => {
            let call = invert::call(process(), vec![3; SIZE]);
            let back = anyfork_tests::runtime().block_on(call).expect("a result");
            assert!(back.len() == SIZE && back.iter().all(|byte| *byte == !3));
        }
        "mixed" => {
            let part = "é".repeat(SIZE / 8);
            let more = (vec![4; SIZE / 2], part.clone());
            let call = concat::call(process(), vec![part], more);
            let (text, bytes) = call.blocking().expect("a result");
            assert!(text.len() == SIZE / 2 && bytes.len() == SIZE / 2);
        }
        _ => panic!("what?"),
    }
    println!("{}", (peak() - before) as f64 / SIZE as f64);
}

fn peak() -> usize {
    let value = status(std::process::id(), "VmHWM");
    let number = value
        .split(' ')
        .next()
        .and_then(|kib| kib.parse::<usize>().ok());
    number.expect("a number of KiB") * 1024
}
