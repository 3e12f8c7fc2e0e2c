//! Arguments of any size and descriptors of any number reach a worker whole and
//! in order, straight or through a forked template.

use std::hash::DefaultHasher;
use std::hash::Hasher;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process;

use anyfork::{Arg, Args, Process};
use anyfork_tests::{pipe_with, set_soft_limit, text_of};

#[anyfork::early]
fn preload() {}

/// Tells what it got, a line an argument.
#[anyfork::worker]
fn weigh(socket: UnixStream, args: Args) -> io::Result<()> {
    let mut socket = io::BufWriter::new(socket);
    for arg in args {
        let line = match arg {
            Arg::Bytes(bytes) => bytes_line(&bytes),
            Arg::Fd(fd) => descriptor_line(&content(fd)?),
        };
        socket.write_all(line.as_bytes())?;
    }
    socket.flush()
}

fn bytes_line(bytes: &[u8]) -> String {
    if bytes.len() > 1 << 20 {
        // To compare is faster than to hash.
        let whole = bytes == made(bytes.len());
        return format!("{} bytes, whole: {whole}\n", bytes.len());
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("{} bytes, {:x}\n", bytes.len(), hasher.finish())
}

fn descriptor_line(content: &str) -> String {
    format!("descriptor {content}\n")
}

fn content(fd: OwnedFd) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::from(fd).read_to_string(&mut text)?;
    Ok(text)
}

/// Runs [`weigh`] and gives what it tells.
fn weighed(process: Process) -> String {
    text_of(process.run("weigh"))
}

/// Bytes of every value, no two stretches alike.
fn made(len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 4_104);
    let mut block = [0; 4_096];
    for (n, byte) in block.iter_mut().enumerate() {
        *byte = (n * n / 7) as u8;
    }
    while bytes.len() < len {
        bytes.extend(bytes.len().to_le_bytes());
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(len);
    bytes
}

/// Pipes that carry their number, and what a worker tells of them.
fn numbered(numbers: std::ops::Range<usize>) -> (Vec<OwnedFd>, String) {
    // Many programs are started with a limit of 1,024.
    set_soft_limit(process::id(), libc::RLIMIT_NOFILE, u64::MAX).unwrap();
    let pipes = numbers.clone().map(|n| pipe_with(&n.to_string())).collect();
    let lines = numbers.map(|n| descriptor_line(&n.to_string())).collect();
    (pipes, lines)
}

#[test]
fn sixty_four_mebibytes_arrive() {
    let whole = made(64 << 20);
    let line = bytes_line(&whole);
    assert!(line.ends_with("whole: true\n"));
    let process = Process::new().unwrap().send_arg("before").send_arg(whole);
    let reported = weighed(process.send_arg("after"));
    assert_eq!(
        reported,
        bytes_line(b"before") + &line + &bytes_line(b"after")
    );
}

#[test]
fn sixty_four_mebibytes_arrive_through_a_template() {
    let whole = made(64 << 20);
    let line = bytes_line(&whole);
    let template = Process::new().unwrap().send_arg(whole);
    for n in ["1", "2"] {
        assert_eq!(
            weighed(template.fork().send_arg(n)),
            line.clone() + &bytes_line(n.as_bytes())
        );
    }
}

#[test]
fn a_thousand_descriptors_arrive() {
    let (pipes, lines) = numbered(0..1000);
    assert_eq!(weighed(Process::new().unwrap().send_fds(pipes)), lines);
}

#[test]
fn a_thousand_descriptors_arrive_through_a_template() {
    let (inherited, first) = numbered(0..600);
    let (own, second) = numbered(600..1000);
    let template = Process::new().unwrap().send_fds(inherited);
    assert_eq!(weighed(template.fork().send_fds(own)), first + &second);
}

#[test]
fn many_large_arguments_and_descriptors_arrive_together() {
    let (pipes, _) = numbered(0..400);
    let mut process = Process::new().unwrap();
    let mut lines = String::new();
    for (n, pipe) in pipes.into_iter().enumerate() {
        let bytes = made(n * 97);
        lines += &bytes_line(&bytes);
        lines += &descriptor_line(&n.to_string());
        process = process.send_arg(bytes).send_fd(pipe);
    }
    assert_eq!(weighed(process), lines);
}

/// Around the size from which a request goes another way: 64 KiB, less the
/// head, the name and the lengths.
#[test]
fn every_size_around_the_message_limit_arrives() {
    let template = Process::new().unwrap().send_arg("t");
    for len in (65_536 - 120..=65_536 + 8).chain([65_575]) {
        let bytes = made(len);
        let line = bytes_line(&bytes);
        assert_eq!(weighed(Process::new().unwrap().send_arg(&bytes)), line);
        if len % 8 == 0 {
            let reported = weighed(template.fork().send_arg(bytes));
            assert_eq!(reported, bytes_line(b"t") + &line);
        }
    }
}

/// The same for a template's own request.
#[test]
fn every_size_around_the_message_limit_can_be_inherited() {
    for len in 65_536 - 60..=65_536 + 8 {
        let bytes = made(len);
        let template = Process::new().unwrap().send_arg(&bytes);
        assert_eq!(weighed(template.fork()), bytes_line(&bytes));
    }
}

/// One message carries 253 descriptors, some of which are the library's.
#[test]
fn every_number_around_the_descriptor_limit_arrives() {
    let large = made(100_000);
    for count in (0..3).chain(246..258).chain(495..512) {
        for large in [None, Some(&large)] {
            let (pipes, mut lines) = numbered(0..count);
            let mut process = Process::new().unwrap().send_fds(pipes);
            if let Some(large) = large {
                process = process.send_arg(large);
                lines += &bytes_line(large);
            }
            // Inherited and straight.
            let reported = match count % 2 {
                0 => weighed(process),
                _ => weighed(process.fork()),
            };
            assert_eq!(reported, lines, "{count} descriptors");
        }
    }
}

#[test]
fn empty_arguments_and_every_byte_arrive() {
    let every: Vec<u8> = (0..=255).collect();
    let args: [&[u8]; 7] = [b"", b"\0", b"", &every, b"\0\0", b"a\0b", b""];
    let lines: String = args.iter().map(|arg| bytes_line(arg)).collect();
    assert_eq!(weighed(Process::new().unwrap().send_args(args)), lines);
    let template = Process::new().unwrap().send_args(args);
    assert_eq!(weighed(template.fork().send_args(args)), lines.repeat(2));
    let none: [&[u8]; 0] = [];
    assert_eq!(weighed(Process::new().unwrap().send_args(none)), "");
}

#[test]
fn a_hundred_thousand_small_arguments_arrive() {
    let lines: String = (0..100_000u32)
        .map(|n| bytes_line(n.to_string().as_bytes()))
        .collect();
    assert_eq!(
        weighed(Process::new().unwrap().send_args(0..100_000u32)),
        lines
    );
}
