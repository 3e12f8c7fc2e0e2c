//! Each example prints what its header says.

mod support;

use std::process::Command;

/// What `name` prints, run in the repository's folder.
fn output(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(support::example(name))
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("run the example");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// `text` with `#` in place of each number.
fn without_numbers(text: &str) -> String {
    let mut short = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if short.ends_with('#') => {}
            '0'..='9' => short.push('#'),
            _ => short.push(c),
        }
    }
    short
}

#[test]
fn hello_async_has_a_greeting() {
    let text = without_numbers(&output("hello_async", &[]));
    assert_eq!(text, "# says: hello world\n");
}

#[test]
fn a_file_that_fails_its_worker_costs_one_answer() {
    let text = output("threaded_no_tokio", &["Cargo.toml", "/bin/sh"]);
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let [failed, counted] = lines[..] else {
        panic!("{text}");
    };
    let message = "stream did not contain valid UTF-8";
    assert_eq!(
        failed,
        format!("/bin/sh: the process failed: exit status: 1 ({message})")
    );
    assert_eq!(without_numbers(counted), "Cargo.toml: # lines");
}

#[test]
fn fifty_workers_share_a_table() {
    let text = output("preload", &["64"]);
    assert_eq!(
        without_numbers(&text),
        "# workers: each sees # MiB, and has #.# MiB of its own\n"
    );
    let numbers: Vec<f64> = text.split(' ').filter_map(|it| it.parse().ok()).collect();
    let [workers, seen, own] = numbers[..] else {
        panic!("{text}");
    };
    assert_eq!(workers, 50.0);
    assert!(seen > 64.0 && own < 4.0, "{text}");
}

#[test]
fn commands_are_started_each_way() {
    let text = output("commands_from_a_big_process", &["16"]);
    assert_eq!(
        without_numbers(&text),
        "a process of # MiB starts `true`:\nstd, with pre_exec: #.# ms\n\
         anyfork, with an init function: #.# ms\nanyfork: #.# ms\n"
    );
}

#[test]
fn a_template_is_handed_over() {
    let text = without_numbers(&output("hand_over", &[]));
    assert_eq!(text, "process # has a dictionary of # words, by way of #\n");
}

#[test]
fn lines_come_while_the_program_runs() {
    let text = output("lines", &[]);
    let expected = "fetch\nbuild\ntest\n[the server] listening on port 8080\n";
    assert_eq!(text, expected);
}
